import type { Domain } from '@rivera/gen/rivera/bbs/v1/domain_service';
import {
  ListDomainsRequest,
  DomainServiceService as methods,
  UpsertDomainRequest,
} from '@rivera/gen/rivera/bbs/v1/domain_service';
import type { CallOptions, Filter } from '../input.js';
import { duration } from '../recipes.js';
import { paged } from '../transport/pages.js';
import type { Transport } from '../transport/transport.js';
import { present } from './present.js';

/** Domains: whose desired state is complete. */
export class Domains {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Declares that what the server holds for the domain is complete, for `ttlMs`; absent or 0: until declared anew. */
  async upsert(domain: string, ttlMs = 0, options?: CallOptions): Promise<Domain> {
    const request = UpsertDomainRequest.fromPartial({ domain, ...(ttlMs > 0 && { ttl: duration(ttlMs) }) });
    const answer = await this.#transport.unary(methods.upsertDomain, request, { safety: 'repeatable' }, options);
    return present(answer.domain, 'domain');
  }

  /** Fresh domains in order of name. */
  list(filter: Filter<ListDomainsRequest> = {}, options?: CallOptions): AsyncIterable<Domain> {
    return paged(async (pageToken) => {
      const request = ListDomainsRequest.fromPartial({ ...filter, pageToken });
      const page = await this.#transport.unary(methods.listDomains, request, { safety: 'repeatable' }, options);
      return { items: page.domains, next: page.nextPageToken };
    });
  }
}
