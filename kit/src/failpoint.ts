/**
 * Places where a test can have this process killed as if the machine had lost power. RIVERA_FAILPOINT names one, and after a colon
 * at which passage (default the first): `RIVERA_FAILPOINT=cell.process-launched:2`. Unset, as it always is outside tests, they do nothing.
 */
export const failpointsArmed = process.env.RIVERA_FAILPOINT !== undefined;

const [armedName, passage = '1'] = (process.env.RIVERA_FAILPOINT ?? '').split(':');
let left = Number(passage);
let intercept: ((name: string) => void) | undefined;

/** Ends this process at once, without a last word, when a test asked for it here. */
export function failpoint(name: string): void {
  intercept?.(name);
  if (!failpointsArmed || name !== armedName || --left !== 0) return;
  process.kill(process.pid, 'SIGKILL');
}

/** For tests in this process: does something at every fail point, e.g. breaks the disk there. Undefined: nothing any more. */
export function atFailpoints(what: ((name: string) => void) | undefined): void {
  intercept = what;
}
