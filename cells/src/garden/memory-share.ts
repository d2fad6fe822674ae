import { GardenError, type MemoryShare } from './garden.js';

const NAME = /^[A-Za-z0-9._-]{1,64}$/;

/** What stands against a share of memory, by field; empty: nothing. */
export function memoryShareViolations({ name, bytes }: MemoryShare): { field: keyof MemoryShare; rule: string }[] {
  return [
    ...(NAME.test(name) ? [] : [{ field: 'name' as const, rule: 'is 1..64 of A-Z a-z 0-9 . _ -' }]),
    ...(Number.isSafeInteger(bytes) && bytes > 0
      ? []
      : [{ field: 'bytes' as const, rule: 'is a whole number above 0' }]),
  ];
}

/** @throws GardenError `invalid` */
export function assertMemoryShare(share: MemoryShare): void {
  const [violation] = memoryShareViolations(share);
  if (violation) throw new GardenError('invalid', `memory share: ${violation.field} ${violation.rule}`);
}
