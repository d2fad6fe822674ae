import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ERRORS, type ErrorReason, isErrorReason } from '@rivera/kit/errors';
import { RiveraError } from '@rivera/sdk/errors';
import { fateOf } from '@rivera/sdk/transport/retry';
import { describe, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const REASONS = Object.keys(ERRORS) as ErrorReason[];

/** The SDK may not import the registry, so it repeats some of its names. */
function repeatedIn(file: string, constant: string): string[] {
  const source = readFileSync(join(ROOT, file), 'utf8');
  const set = new RegExp(`const ${constant}[^=]*= new Set\\(([\\s\\S]*?)\\);`).exec(source)?.[1] ?? '';
  return [...set.matchAll(/'([A-Z_]+)'/g)].map((match) => match[1] ?? '');
}

const received = (reason: ErrorReason) => new RiveraError({ code: ERRORS[reason].code, reason, message: reason });

describe('the reasons that the SDK repeats', () => {
  const retryable = repeatedIn('sdk/src/errors.ts', 'RETRYABLE_REASONS');
  const refusals = repeatedIn('sdk/src/transport/retry.ts', 'REFUSALS');

  it('are found in its source', () => {
    expect(retryable.length).toBeGreaterThan(2);
    expect(refusals.length).toBeGreaterThan(2);
  });

  it('are in the registry', () => {
    expect([...retryable, ...refusals].filter((reason) => !isErrorReason(reason))).toEqual([]);
  });
});

describe.each(REASONS)('%s', (reason) => {
  it('is retryable to the SDK exactly when the registry says so', () => {
    expect(received(reason).retryable).toBe(ERRORS[reason].retryable);
  });

  it('is repeated by the SDK only when the registry says that this may help', () => {
    if (fateOf(received(reason)) === 'refused') expect(ERRORS[reason].retryable).toBe(true);
    if (!ERRORS[reason].retryable && reason !== 'OUTCOME_UNKNOWN') expect(fateOf(received(reason))).toBe('final');
  });
});
