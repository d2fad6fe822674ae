import { isShown, type Outcome } from './command-line.js';
import { describeFailure } from './describe.js';
import { EXIT } from './failures.js';
import type { Io } from './io.js';
import { buildProgram } from './program.js';
import { coloursFor, wantsColour } from './terminal/output.js';

/**
 * Runs one command line to its end.
 * @param args without the interpreter's and the program's name
 * @returns the exit code
 */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const outcome: Outcome = { exitCode: EXIT.ok };
  try {
    await buildProgram(io, outcome).parseAsync([...args], { from: 'user' });
    return outcome.exitCode;
  } catch (error) {
    // Asking for help is fine; being shown it because the subcommand was left out is not.
    if (isShown(error)) return error.code === 'commander.help' ? EXIT.usage : EXIT.ok;
    const interrupted = io.interrupts.exitCode;
    if (interrupted !== undefined) return interrupted;
    return report(error, io, args.includes('--no-color'));
  }
}

function report(error: unknown, io: Io, noColor: boolean): number {
  const { exitCode, message, next } = describeFailure(error);
  const colours = coloursFor(wantsColour(io.stderr, io.env, noColor));
  io.stderr.write(`${colours.red('rivera:')} ${message}\n${next.map((line) => `  ${line}\n`).join('')}`);
  if (io.env.RIVERA_DEBUG && error instanceof Error) io.stderr.write(`${colours.dim(error.stack ?? '')}\n`);
  return exitCode;
}
