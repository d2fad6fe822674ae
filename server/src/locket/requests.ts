import { type LockRequest, ResourceType } from '@rivera/gen/rivera/locket/v1/locket_service';
import { RiveraError } from '@rivera/kit/errors';
import { MAX_NAME_BYTES, MAX_VALUE_BYTES } from './lease-rules.js';
import type { LeaseRequest } from './lease-store.js';

const MIN_TTL_MS = 1_000;
const MAX_TTL_MS = 3_600_000;

interface Violation {
  field: string;
  description: string;
}

/** What a Lock request asks of the store. @throws RiveraError `INVALID_REQUEST` with every broken rule */
export function lockRequest(request: LockRequest): LeaseRequest {
  const { key = '', owner = '', value = '', type = ResourceType.UNSPECIFIED } = request.resource ?? {};
  const ttlMs = (request.ttl?.seconds ?? 0) * 1_000 + Math.ceil((request.ttl?.nanos ?? 0) / 1_000_000);
  const violations = [...nameViolations('resource.key', key), ...nameViolations('resource.owner', owner)];
  if (Buffer.byteLength(value) > MAX_VALUE_BYTES) {
    violations.push({ field: 'resource.value', description: `must have at most ${MAX_VALUE_BYTES} bytes` });
  }
  if (type !== ResourceType.LOCK && type !== ResourceType.PRESENCE) {
    violations.push({ field: 'resource.type', description: 'must be LOCK or PRESENCE' });
  }
  if (!(ttlMs >= MIN_TTL_MS && ttlMs <= MAX_TTL_MS)) {
    violations.push({ field: 'ttl', description: 'must be 1 s..1 h' });
  }
  refuseViolations(violations);
  return { key, owner, value, ttlMs, type: type === ResourceType.LOCK ? 'lock' : 'presence' };
}

export function nameViolations(field: string, text: string): Violation[] {
  const bytes = Buffer.byteLength(text);
  return bytes >= 1 && bytes <= MAX_NAME_BYTES ? [] : [{ field, description: `must have 1..${MAX_NAME_BYTES} bytes` }];
}

export function refuseViolations(violations: Violation[]): void {
  if (violations.length === 0) return;
  const message = violations.map(({ field, description }) => `${field} ${description}`).join('; ');
  throw new RiveraError('INVALID_REQUEST', message, { violations });
}
