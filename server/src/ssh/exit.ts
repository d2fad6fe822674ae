import { constants } from 'node:os';

/** Signals that SSH has names for (RFC 4254 section 6.10, and what the reference adds). */
export const SSH_SIGNALS = [
  'ABRT', 'ALRM', 'FPE', 'HUP', 'ILL', 'INT', 'KILL', 'PIPE', 'QUIT', 'SEGV', 'TERM', 'USR1', 'USR2',
] as const; // biome-ignore format: one table

/** Shells end with these by themselves, when their last command was interrupted: without a signal from outside it is a status. */
const USUAL_OF_SHELLS: ReadonlySet<string> = new Set(['INT', 'PIPE', 'QUIT']);

/** How a process ended, in SSH's words. */
export type Ending = { readonly status: number } | { readonly signal: string };

/**
 * The runtime tells of a signal only by the code 128 + number, which a program may also choose for itself. It is taken for a signal
 * when that signal was sent over this channel, or where there is no shell of a person that could have meant its last command.
 */
export function endingOf(
  { code, signal }: { readonly code: number; readonly signal: string },
  { interactive, sent }: { readonly interactive: boolean; readonly sent: ReadonlySet<string> },
): Ending {
  if (signal !== '' && (SSH_SIGNALS as readonly string[]).includes(signal)) return { signal };
  const name = SSH_SIGNALS.find((each) => constants.signals[`SIG${each}`] === code - 128);
  if (name !== undefined && (sent.has(name) || (!interactive && !USUAL_OF_SHELLS.has(name)))) return { signal: name };
  return { status: code };
}
