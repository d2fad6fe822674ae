import {
  ListResourcesRequest,
  LocketServiceService as methods,
  type Resource,
  ResourceType,
} from '@rivera/gen/rivera/locket/v1/locket_service';
import type { CallOptions } from '../input.js';
import { paged } from '../transport/pages.js';
import type { Transport } from '../transport/transport.js';

/** Locks and presences. */
export class Locket {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Records of one type, or all, in order of key. */
  list(type: ResourceType = ResourceType.UNSPECIFIED, options?: CallOptions): AsyncIterable<Resource> {
    return paged(async (pageToken) => {
      const request = ListResourcesRequest.fromPartial({ type, pageToken });
      const page = await this.#transport.unary(methods.listResources, request, { safety: 'repeatable' }, options);
      return { items: page.resources, next: page.nextPageToken };
    });
  }
}
