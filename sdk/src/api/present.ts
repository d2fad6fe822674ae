import { InternalError } from '../errors.js';

/** A member that the API promises to send. */
export function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new InternalError({ message: `the server's answer lacks its ${what}` });
  return value;
}
