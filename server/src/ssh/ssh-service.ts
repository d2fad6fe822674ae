import type {
  AddKeyRequest,
  AddKeyResponse,
  CreateCodeRequest,
  CreateCodeResponse,
  GetEndpointRequest,
  GetEndpointResponse,
  ListKeysRequest,
  ListKeysResponse,
  RemoveKeyRequest,
  RemoveKeyResponse,
  SshKey,
} from '@rivera/gen/rivera/ssh/v1/ssh_service';
import { RiveraError } from '@rivera/kit/errors';
import type { CallContext } from '@rivera/kit/grpc/host';
import type { HostKey } from './host-key.js';
import { parsePublicKey } from './public-keys.js';
import type { SshStore, StoredKey } from './store.js';

/** Codes and keys let people in, so whoever only looks may have neither. */
export const SSH_ACCESS = {
  default: ['client', 'server'],
  methods: { getEndpoint: ['client', 'reader', 'server'] },
  reads: ['listKeys'],
} as const;

const GUID = /^[A-Za-z0-9_-]{1,255}$/;
const MAX_GUIDS = 100;
const MAX_PAGE = 1_000;
const USUAL_PAGE = 500;

type Caller = Pick<CallContext, 'peer'>;

/** Handlers of rivera.ssh.v1.SshService. */
export function sshService(o: {
  store: SshStore;
  hostKey: HostKey;
  address: string;
  enabled: boolean;
  codeTtlMs: number;
}) {
  const { store, hostKey, address, enabled } = o;
  return {
    getEndpoint(_request: GetEndpointRequest): GetEndpointResponse {
      return { address, hostKey: hostKey.publicLine, fingerprint: hostKey.fingerprint, enabled };
    },

    async createCode({ processGuid }: CreateCodeRequest, { peer }: Caller): Promise<CreateCodeResponse> {
      if (!GUID.test(processGuid)) throw violation('process_guid', 'must be 1..255 of A-Z a-z 0-9 _ -');
      const made = await store.makeCode({ processGuid, madeBy: peer?.name ?? '', ttlMs: o.codeTtlMs });
      return { code: made.code, expiresAt: new Date(made.expiresAtMs) };
    },

    async addKey({ key, ttl }: AddKeyRequest): Promise<AddKeyResponse> {
      const { publicKey = '', name = '', processGuids = [] } = key ?? {};
      if (name === '' || name.length > 255) throw violation('key.name', 'must have 1..255 characters');
      if (processGuids.length > MAX_GUIDS || !processGuids.every((guid) => GUID.test(guid))) {
        throw violation('key.process_guids', `must be at most ${MAX_GUIDS} process guids`);
      }
      const { fingerprint, text } = parsed(publicKey);
      const ttlMs = ttl === undefined ? 0 : ttl.seconds * 1_000 + Math.floor(ttl.nanos / 1e6);
      if (ttl !== undefined && ttlMs <= 0) throw violation('ttl', 'must be positive');
      return { key: toKey(await store.addKey({ fingerprint, publicKey: text, name, processGuids }, ttlMs)) };
    },

    async listKeys({ pageSize, pageToken }: ListKeysRequest): Promise<ListKeysResponse> {
      if (pageSize < 0 || pageSize > MAX_PAGE) throw violation('page_size', `must be 0..${MAX_PAGE}`);
      const limit = pageSize || USUAL_PAGE;
      const keys = await store.listKeys(pageToken, limit + 1);
      const page = keys.slice(0, limit);
      return { keys: page.map(toKey), nextPageToken: keys.length > limit ? (page.at(-1)?.fingerprint ?? '') : '' };
    },

    async removeKey({ fingerprint }: RemoveKeyRequest): Promise<RemoveKeyResponse> {
      if (!(await store.removeKey(fingerprint))) {
        throw new RiveraError('SSH_KEY_NOT_FOUND', `no public key "${fingerprint.slice(0, 100)}" is registered`);
      }
      return {};
    },
  };
}

function parsed(publicKey: string): { fingerprint: string; text: string } {
  if (publicKey.length > 1_000) throw violation('key.public_key', 'has more than 1,000 characters');
  try {
    return parsePublicKey(publicKey);
  } catch (error) {
    throw violation('key.public_key', error instanceof Error ? error.message : String(error));
  }
}

function toKey({ publicKey, name, processGuids, fingerprint, expiresAtMs }: StoredKey): SshKey {
  const expiresAt = expiresAtMs > 0 ? new Date(expiresAtMs) : undefined;
  return { publicKey, name, processGuids: [...processGuids], fingerprint, expiresAt };
}

function violation(field: string, description: string): RiveraError {
  return new RiveraError('INVALID_REQUEST', `${field} ${description}`, { violations: [{ field, description }] });
}
