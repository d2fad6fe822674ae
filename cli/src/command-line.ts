import { Command, CommanderError, Help, Option } from 'commander';
import { CliError, EXIT, EXIT_CODE_HELP } from './failures.js';
import type { Io } from './io.js';
import { parseMilliseconds } from './recipe/quantities.js';
import { Session, type Settings } from './session.js';
import { withAddresses } from './silence.js';

/** A mistake on the command line, with the command that it was made in. */
export class CommandLineError extends CliError {
  constructor(
    exitCode: number,
    message: string,
    next: readonly string[],
    /** For the usage line. */
    readonly command: Command,
  ) {
    super(exitCode, message, next);
    this.name = 'CommandLineError';
  }
}

/** What commander says, turned into our errors and exit codes (spec cli §4, facts 5 and 9). */
export class RiveraCommand extends Command {
  override createCommand(name?: string): Command {
    return new RiveraCommand(name);
  }

  override error(message: string, options?: { code?: string }): never {
    const isUnknown = options?.code === 'commander.unknownCommand' || options?.code === 'commander.unknownOption';
    const [first = '', ...hints] = message.replace(/^error: /, '').split('\n');
    const next = hints.map((hint) => hint.replace(/^\((.*)\)$/, '$1')).filter((hint) => hint !== '');
    throw new CommandLineError(isUnknown ? EXIT.unknownCommand : EXIT.usage, first, next, this);
  }
}

/** Makes the program's root. Help goes to the given streams, and nothing ends the process. */
export function rootCommand(io: Io): Command {
  return new RiveraCommand('rivera')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .configureHelp({ groupItems: ownOptionsFirst })
    .enablePositionalOptions()
    .helpCommand('help [command...]', 'tell about a command');
}

/**
 * Shows a command's own options before those that all commands have. Help stands with the common ones when it would be alone in a
 * group of its own.
 */
function ownOptionsFirst<T extends Command | Option>(
  this: Help,
  unsorted: T[],
  visible: T[],
  groupOf: (item: T) => string,
): Map<string, T[]> {
  const hasOwn = unsorted.some((item) => !COMMON_GROUPS.includes(groupOf(item)));
  const [common] = COMMON_GROUPS.filter((name) => unsorted.some((item) => groupOf(item) === name));
  const placeOf = (item: T) => (hasOwn || common === undefined || unsorted.includes(item) ? groupOf(item) : common);
  const isCommon = (item: T) => COMMON_GROUPS.includes(placeOf(item));
  const sorted = [...unsorted.filter((item) => !isCommon(item)), ...unsorted.filter(isCommon)];
  return Help.prototype.groupItems.call(this, sorted, visible, placeOf as never) as Map<string, T[]>;
}

const COMMON_GROUPS = ['Output:', 'Connection:'];

/** Help was shown, or the version: not an error. */
export function isShown(error: unknown): error is CommanderError {
  return error instanceof CommanderError;
}

/** Options of every command that talks to the servers. */
export function withConnection(command: Command): Command {
  return withOutput(command)
    .addOption(group('--servers <host:port,...>', 'servers to talk to (RIVERA_SERVERS)'))
    .addOption(group('--ca <file>', 'certificate authority (RIVERA_CA)'))
    .addOption(group('--cert <file>', 'client certificate (RIVERA_CERT)'))
    .addOption(group('--key <file>', 'its private key (RIVERA_KEY)'))
    .addOption(
      group('--context <dir>', 'data folder of a `rivera up` (RIVERA_CONTEXT; default ./.rivera, then ~/.rivera)'),
    )
    .addOption(
      group('--timeout <time>', 'time for one call (RIVERA_TIMEOUT; default 10s)').argParser((text: string) =>
        parseMilliseconds(text),
      ),
    );
}

/** Options of every command that prints data. */
export function withOutput(command: Command): Command {
  return command
    .addOption(new Option('--json', 'one JSON object per line, for programs').helpGroup('Output:'))
    .addOption(new Option('--no-color', 'no colours (NO_COLOR)').helpGroup('Output:'));
}

function group(flags: string, description: string): Option {
  return new Option(flags, description).helpGroup('Connection:');
}

/** What a command does. A number is its exit code; nothing is 0. */
export type Action<O> = (session: Session, operands: readonly string[], options: O) => Promise<number | undefined>;

/** Takes the exit code of the command that ran. */
export interface Outcome {
  exitCode: number;
}

/** Connects a command with what it does: opens a session, closes it whatever happens, keeps the exit code. */
export function perform<O extends object>(command: Command, io: Io, outcome: Outcome, action: Action<O>): Command {
  return command.action(async () => {
    const options = command.opts<O & Settings>();
    const session = new Session(io, options);
    try {
      outcome.exitCode = (await action(session, command.args, options)) ?? EXIT.ok;
    } catch (error) {
      throw session.servers === undefined ? error : withAddresses(error, session.servers);
    } finally {
      await session.close();
    }
  });
}

/** Examples under a command's help: what to type, and what it does. */
export function examples(command: Command, ...lines: readonly (readonly [string, string])[]): Command {
  const width = Math.max(...lines.map(([line]) => line.length));
  const text = lines.map(([line, meaning]) => `  $ ${line.padEnd(width)}   ${meaning}`).join('\n');
  return command.addHelpText('after', `\nExamples:\n${text}`);
}

/** The exit codes, for the end of the root's help. */
export function exitCodeHelp(): string {
  return `\nExit codes:\n${EXIT_CODE_HELP.map(([code, meaning]) => `  ${String(code).padStart(3)}  ${meaning}`).join('\n')}`;
}
