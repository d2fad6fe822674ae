import { RiveraError, type Violation } from '@rivera/kit/errors';

const MAX_VIOLATIONS = 100;

/** Gathers every broken rule of a request, so that a client can mend all of them at once. */
export class Violations {
  private readonly found: Violation[] = [];
  private more = 0;

  add(field: string, description: string): void {
    if (this.found.length < MAX_VIOLATIONS) this.found.push({ field, description });
    else this.more++;
  }

  check(holds: boolean, field: string, description: string): boolean {
    if (!holds) this.add(field, description);
    return holds;
  }

  /** @throws INVALID_REQUEST with all violations, if there are any */
  throwIfAny(): void {
    if (this.found.length === 0) return;
    const text = this.found.map(({ field, description }) => `${field} ${description}`).join('; ');
    const rest = this.more > 0 ? ` (and ${this.more} more)` : '';
    throw new RiveraError('INVALID_REQUEST', `${text}${rest}`, { violations: this.found });
  }
}

const GUID = /^[a-zA-Z0-9_-]{1,255}$/;

export function checkGuid(violations: Violations, field: string, guid: string): void {
  violations.check(GUID.test(guid), field, 'must be 1..255 characters of a-z, A-Z, 0-9, "_" and "-"');
}

export function checkDomain(violations: Violations, field: string, domain: string): void {
  violations.check(domain.length >= 1 && domain.length <= 255, field, 'must have 1..255 characters');
  checkText(violations, field, domain);
}

export function checkAnnotation(violations: Violations, field: string, annotation: string): void {
  violations.check(Buffer.byteLength(annotation) <= 10_240, field, 'must have at most 10,240 bytes');
}

/** Text that a database, a log and a process can hold: no NUL, and well-formed. */
export function checkText(violations: Violations, field: string, text: string): void {
  violations.check(!text.includes('\0'), field, 'must not contain NUL');
  violations.check(!text.includes('\uFFFD'), field, 'must be valid UTF-8');
}
