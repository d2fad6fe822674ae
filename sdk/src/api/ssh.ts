import {
  AddKeyRequest,
  type CreateCodeResponse,
  type GetEndpointResponse,
  ListKeysRequest,
  SshServiceService as methods,
  type SshKey,
} from '@rivera/gen/rivera/ssh/v1/ssh_service';
import type { CallOptions } from '../input.js';
import { duration } from '../recipes.js';
import { paged } from '../transport/pages.js';
import type { Transport } from '../transport/transport.js';
import { present } from './present.js';

/** What a key is for. */
export interface AddSshKeyOptions extends CallOptions {
  /** Whose it is, for the audit. */
  name: string;
  /** LRPs that it opens; absent: every LRP that lets SSH in. */
  processGuids?: string[];
  /** How long it is good; absent: until it is removed. */
  ttlMs?: number;
}

/** Where SSH is, and who gets in. */
export class Ssh {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Address of the proxies, and the host key that they show. */
  endpoint(options?: CallOptions): Promise<GetEndpointResponse> {
    return this.#transport.unary(methods.getEndpoint, {}, { safety: 'repeatable' }, options);
  }

  /** A password for one login as `PROCESS_GUID/INDEX`, soon. */
  createCode(processGuid: string, options?: CallOptions): Promise<CreateCodeResponse> {
    return this.#transport.unary(methods.createCode, { processGuid }, { safety: 'repeatable' }, options);
  }

  /** Lets a public key, as it stands in a .pub file, log in. */
  async addKey(publicKey: string, { name, processGuids = [], ttlMs, ...options }: AddSshKeyOptions): Promise<SshKey> {
    const request = AddKeyRequest.fromPartial({
      key: { publicKey, name, processGuids },
      ...(ttlMs !== undefined && { ttl: duration(ttlMs) }),
    });
    const answer = await this.#transport.unary(methods.addKey, request, { safety: 'repeatable' }, options);
    return present(answer.key, 'key');
  }

  /** Registered keys, in order of fingerprint. */
  keys(options?: CallOptions): AsyncIterable<SshKey> {
    return paged(async (pageToken) => {
      const request = ListKeysRequest.fromPartial({ pageToken });
      const page = await this.#transport.unary(methods.listKeys, request, { safety: 'repeatable' }, options);
      return { items: page.keys, next: page.nextPageToken };
    });
  }

  /** Forgets a key. @throws NotFoundError */
  async removeKey(fingerprint: string, options?: CallOptions): Promise<void> {
    await this.#transport.unary(methods.removeKey, { fingerprint }, { safety: 'once' }, options);
  }
}
