import type { ErrorReason } from '@rivera/kit/errors';
import type { RiveraError } from '@rivera/sdk/errors';
import { CommandLineError } from './command-line.js';
import { CliError, EXIT } from './failures.js';
import { isSilence, SILENCE_HELP, wordsFor } from './silence.js';
import { oneLine } from './terminal/text.js';

/** What is said about a failure. */
export interface Description {
  exitCode: number;
  /** One sentence. */
  message: string;
  /** What to do next, or details, one line each. */
  next: readonly string[];
}

/** What helps after an answer with this reason. */
const NEXT_STEPS: Partial<Record<ErrorReason, string>> = {
  TASK_NOT_FOUND: 'See what there is:  rivera task list',
  TASK_HAS_NO_CALLBACK: 'See what it has:  rivera task show NAME',
  TASK_EXISTS: 'Choose another name, or remove the old one:  rivera task rm NAME',
  DESIRED_LRP_NOT_FOUND: 'See what there is:  rivera lrp list',
  DESIRED_LRP_EXISTS: 'Choose another name, or remove the old one:  rivera lrp rm NAME',
  DESIRED_LRP_CONFLICT: 'Somebody else changed it first: try again.',
  ACTUAL_LRP_NOT_FOUND: 'See which instances there are:  rivera lrp show NAME',
  CONTAINER_NOT_FOUND: 'See which instances there are:  rivera lrp show NAME',
  CONTAINER_NOT_READY: 'It is being made, or has ended; see where it is:  rivera lrp show NAME',
  CELL_NOT_FOUND: 'See which cells there are:  rivera cells',
  CELL_IS_PRESENT: 'To empty a cell that is there:  rivera cells evacuate CELL',
  CELL_UNREACHABLE: 'See how the cells are:  rivera cells',
  PERMISSION_DENIED: "The client certificate's role does not allow this (see --cert).",
  UNAUTHENTICATED: 'The servers do not know the client certificate (see --cert and --ca).',
  NOT_LEADER: 'A server takes over when the one that leads is gone; to wait for it, say --timeout 30s.',
  DATABASE_UNAVAILABLE: 'The database is away; the servers go on when it is back.',
  OUTCOME_UNKNOWN: 'It may or may not have happened: look before you try again.',
};

/** Says what went wrong, what helps, and with which code to end. */
export function describeFailure(error: unknown): Description {
  if (error instanceof CommandLineError) {
    const usage = `Usage: ${pathOf(error.command)} ${error.command.usage()}`;
    return { exitCode: error.exitCode, message: error.message, next: [...error.next, usage] };
  }
  if (error instanceof CliError) return { exitCode: error.exitCode, message: error.message, next: error.next };
  if (isSilence(error)) return { exitCode: EXIT.local, message: wordsFor(error, 'the servers'), next: SILENCE_HELP };
  if (isAnswer(error)) return describeAnswer(error);
  return {
    exitCode: EXIT.local,
    message: error instanceof Error ? error.message : String(error),
    next: [],
  };
}

function describeAnswer(error: RiveraError): Description {
  const step = NEXT_STEPS[error.reason as ErrorReason];
  return {
    exitCode: EXIT.answered,
    message: `${oneLine(error.message)} (${error.reason || error.codeName})`,
    next: [
      ...error.violations.map(({ field, description }) => `${oneLine(field)}: ${oneLine(description)}`),
      ...(step === undefined ? [] : [step]),
    ],
  };
}

/** An SDK error; told by its shape, so that commands which never call a server need not load the SDK. */
export function isAnswer(error: unknown): error is RiveraError {
  return error instanceof Error && 'codeName' in error && 'reason' in error && 'violations' in error;
}

function pathOf(command: { name(): string; parent: { name(): string; parent: unknown } | null }): string {
  const names: string[] = [];
  let here: { name(): string; parent: unknown } | null = command;
  while (here !== null) {
    names.unshift(here.name());
    here = here.parent as typeof here;
  }
  return names.join(' ');
}
