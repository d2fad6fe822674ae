import { RiveraError } from '@rivera/kit/errors';
import { Violations } from './violations.js';

/** The fields that break a rule, in order; empty when all is well. */
export function fieldsOf(check: (violations: Violations) => void): string[] {
  const violations = new Violations();
  return refusedFields(() => {
    check(violations);
    violations.throwIfAny();
  });
}

/** The fields with which a request is refused, in order; empty when it is accepted. Fails for any other error. */
export function refusedFields(validate: () => void): string[] {
  try {
    validate();
    return [];
  } catch (error) {
    if (!(error instanceof RiveraError) || error.reason !== 'INVALID_REQUEST') throw error;
    return error.violations.map(({ field }) => field);
  }
}
