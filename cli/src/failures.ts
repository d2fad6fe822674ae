/**
 * What the command ends with, the same for every command (`exec` alone passes the process's own code through).
 * The numbers follow the reference's operator tool, so that scripts written for it keep their meaning.
 */
export const EXIT = {
  /** It worked. */
  ok: 0,
  /** The work itself failed: a Task failed, an LRP did not come up, a check of the doctor did not pass. */
  failed: 1,
  /** The command line, a setting or a spec is wrong; nothing was asked of anybody. */
  usage: 3,
  /** A component answered with an error. */
  answered: 4,
  /** No answer: no connection, time over, or something on this machine. */
  local: 5,
  /** Interrupted by Ctrl-C. */
  interrupted: 130,
  /** Ended by TERM. */
  terminated: 143,
  /** There is no such command or option. */
  unknownCommand: 255,
} as const;

/** One line per code, for help texts. */
export const EXIT_CODE_HELP: readonly (readonly [number, string])[] = [
  [EXIT.ok, 'it worked'],
  [EXIT.failed, 'the work failed: a task failed, an LRP did not come up or keeps crashing'],
  [EXIT.usage, 'wrong arguments, settings or spec'],
  [EXIT.answered, 'a component answered with an error'],
  [EXIT.local, 'no answer (connection, timeout) or something on this machine'],
  [EXIT.interrupted, 'interrupted'],
  [EXIT.unknownCommand, 'no such command or option'],
];

/** A failure that the user is told of: a sentence, what to do next, and the exit code. */
export class CliError extends Error {
  constructor(
    readonly exitCode: number,
    message: string,
    /** Steps that help, one line each. */
    readonly next: readonly string[] = [],
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'CliError';
  }
}

/** Wrong arguments. */
export function usageError(message: string, ...next: string[]): CliError {
  return new CliError(EXIT.usage, message, next);
}

/** Something on this machine, or no connection. */
export function localError(message: string, next: readonly string[] = [], cause?: unknown): CliError {
  return new CliError(EXIT.local, message, next, cause === undefined ? undefined : { cause });
}
