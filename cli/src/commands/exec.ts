import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { ContainerTarget } from '@rivera/gen/rivera/rep/v1/container';
import type { ExecSession } from '@rivera/sdk/client';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { usageError } from '../failures.js';
import type { Io } from '../io.js';
import { parseEnvironment, parseInstance } from '../recipe/quantities.js';
import type { Session } from '../session.js';
import type { TerminalStream } from '../terminal/output.js';
import { withSuggestion } from './names.js';
import { collect } from './work-options.js';

interface Options {
  interactive?: boolean;
  tty?: boolean;
  env?: string[];
  user?: string;
  dir?: string;
  task?: boolean;
}

/** `rivera exec`: a process in a running container, as with `docker exec`. */
export function addExec(program: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    program
      .command('exec')
      .argument('<name>', 'an LRP: NAME (instance 0) or NAME/INDEX')
      .argument('[command...]', "what to run; default: the container's shell")
      .description('run a process in a running container'),
  )
    .passThroughOptions()
    .option('-i, --interactive', 'pass standard input on')
    .option('-t, --tty', 'with a terminal')
    .option('-e, --env <name=value>', 'environment variable; repeatable', collect)
    .option('-u, --user <user>', 'user to run as (default root)')
    .option('-w, --dir <path>', 'working directory')
    .option('--task', 'the name is a task');
  examples(
    command,
    ['rivera exec -it hello', 'a shell in instance 0'],
    ['rivera exec hello/2 -- ls -l /', 'one command in instance 2'],
    ['tar c site | rivera exec -i hello tar x -C /srv', 'pipes work'],
  );
  command.addHelpText('after', "\nThe exit code is the process's. Options stand before the name.");
  perform<Options>(command, io, outcome, async (session, [name = '', ...words], options) => {
    const command = words[0] === '--' ? words.slice(1) : words;
    if (command[0]?.startsWith('-')) {
      throw usageError(
        `'${command[0]}' stands behind the name, where the command begins`,
        `rivera exec ${command[0]} ${name}`,
      );
    }
    if (options.tty && !io.stdin.isTTY) {
      throw usageError('standard input is not a terminal', 'Leave out -t when input or output is a pipe.');
    }
    const target = targetOf(name, options.task === true);
    return withSuggestion(session, options.task ? 'task' : 'lrp', name.split('/')[0] ?? '', async (client) => {
      const { stdout } = io;
      const process = client.exec(
        {
          target,
          path: command[0] ?? '',
          args: command.slice(1),
          env: parseEnvironment(options.env ?? [], io.env).map((variable) => `${variable.name}=${variable.value}`),
          dir: options.dir ?? '',
          user: options.user ?? '',
          ...(options.tty ? { terminal: { term: io.env.TERM ?? '', windowSize: sizeOf(stdout) } } : {}),
        },
        { signal: io.interrupts.forced },
      );
      return attach(session, process, options);
    });
  });
}

function targetOf(name: string, isTask: boolean): ContainerTarget {
  if (isTask) return ContainerTarget.fromPartial({ target: { $case: 'taskGuid', value: name } });
  return ContainerTarget.fromPartial({ target: { $case: 'instance', value: parseInstance(name) } });
}

/** Ties our streams to the process's, and gives the terminal back as it was, however it ends. */
async function attach(session: Session, process: ExecSession, options: Options): Promise<number> {
  const { io } = session;
  const letGo = options.tty ? takeTerminal(io, process) : forwardInterrupt(session, process);
  const outputs = Promise.all([copy(process.stdout, io.stdout), copy(process.stderr, io.stderr)]);
  try {
    await process.started;
    const input = options.interactive ? pipeline(io.stdin, process.stdin, { end: true }) : endInput(process);
    // The process may end before its input does, and then nobody reads the rest: not an error.
    input.catch(() => undefined);
    const exit = await process.exit;
    await outputs;
    return exit.code;
  } finally {
    letGo();
    outputs.catch(() => undefined);
    io.stdin.unpipe();
    io.stdin.pause();
  }
}

async function endInput(process: ExecSession): Promise<void> {
  process.stdin.end();
}

async function copy(from: NodeJS.ReadableStream, to: TerminalStream): Promise<void> {
  for await (const chunk of from) {
    if (!to.write(chunk)) await once(to, 'drain');
  }
}

/** Every key goes to the process, Ctrl-C included; its terminal follows the size of ours. */
function takeTerminal(io: Io, process: ExecSession): () => void {
  const resize = () => {
    const { columns, rows } = sizeOf(io.stdout);
    process.resize(columns, rows);
  };
  io.stdin.setRawMode?.(true);
  io.stdout.on('resize', resize);
  return () => {
    io.stdin.setRawMode?.(false);
    io.stdout.off('resize', resize);
  };
}

/** Without a terminal Ctrl-C reaches us: the first one is the process's, the second one ends the call. */
function forwardInterrupt({ signal }: Session, process: ExecSession): () => void {
  const interrupt = () => process.signal('INT');
  signal.addEventListener('abort', interrupt, { once: true });
  return () => signal.removeEventListener('abort', interrupt);
}

function sizeOf(stdout: TerminalStream): { columns: number; rows: number } {
  return { columns: stdout.columns ?? 80, rows: stdout.rows ?? 24 };
}
