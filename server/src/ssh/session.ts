import { randomUUID } from 'node:crypto';
import type { ExecStart, Terminal } from '@rivera/gen/rivera/rep/v1/container';
import type { PseudoTtyInfo, ServerChannel, Session } from 'ssh2';
import type { ChannelContext } from './channel-context.js';
import type { Traffic } from './channel-pipe.js';
import { programOf, type Wish } from './command.js';
import { SessionEnvironment } from './environment.js';
import { ProcessChannel } from './process-channel.js';
import type { Recording } from './recording.js';

/** Longest side of a terminal that cells take. */
const MAX_SIDE = 1_000;
const MAX_COMMAND_BYTES = 128 * 1024;

/** Absent where the client wants no answer. */
type Accept<T = unknown> = (() => T) | undefined;
type Reject = (() => void) | undefined;

/** Serves a session channel: gathers what the client wants, then runs one process. All is this channel's own. */
export function serveSession(session: Session, context: ChannelContext): void {
  const env = new SessionEnvironment(context.config.acceptEnv);
  let terminal: Terminal | undefined;
  let process: ProcessChannel | undefined;
  let begun = false;

  session.on('env', (accept: Accept, reject: Reject, { key, val }) => answer(env.set(key, val), accept, reject));
  session.on('pty', (accept: Accept, reject: Reject, info) => {
    if (!begun) terminal = terminalOf(info);
    answer(!begun, accept, reject);
  });
  session.on('window-change', (accept: Accept, _reject: Reject, { cols, rows }) => {
    const windowSize = { columns: side(cols, 80), rows: side(rows, 24) };
    if (terminal && process) process.resize(windowSize.columns, windowSize.rows);
    else if (terminal) terminal = { ...terminal, windowSize };
    accept?.();
  });
  for (const kind of ['x11', 'auth-agent'] as const) {
    session.on(kind, (_accept: Accept, reject: Reject) => {
      context.audit.channelRefused({ kind, why: 'containers have no way to it' });
      reject?.();
    });
  }
  session.on('signal', (accept: Accept, reject: Reject, { name }) => {
    // Without a process there is nobody to tell, which is no failure.
    answer(process === undefined || process.signal(name), accept, reject);
  });

  const begin = (wish: Wish, accept: Accept<ServerChannel>, reject: Reject) => {
    const program = programOf(wish);
    const tooLong = wish.kind === 'exec' && Buffer.byteLength(wish.command) > MAX_COMMAND_BYTES;
    if (begun || !program || tooLong || !accept) return void reject?.();
    begun = true;
    const { target } = context.login;
    const start: ExecStart = {
      target: target.location.target,
      ...program,
      env: env.over(target.env),
      dir: '',
      user: target.user,
      terminal,
    };
    const channel = accept();
    const running = (started: ProcessChannel) => {
      process = started;
    };
    context.follow(run(channel, { wish, start, context }, running));
  };
  session.on('shell', (accept, reject) => begin({ kind: 'shell' }, accept, reject));
  session.on('exec', (accept, reject, { command }) => begin({ kind: 'exec', command }, accept, reject));
  session.on('subsystem', (accept, reject, { name }) => begin({ kind: 'subsystem', name }, accept, reject));
}

async function run(
  channel: ServerChannel,
  { wish, start, context }: { wish: Wish; start: ExecStart; context: ChannelContext },
  running: (process: ProcessChannel) => void,
): Promise<void> {
  const { audit } = context;
  const traffic: Traffic = { up: 0, down: 0 };
  const id = randomUUID();
  const recording = start.terminal && record(id, start.terminal, context);
  const done = audit.channelOpened({
    channel: id,
    ...facts(wish),
    pty: start.terminal !== undefined,
    recorded: !!recording,
  });
  const process = new ProcessChannel({ context, start, channel, traffic, recording });
  running(process);
  const { ending, failure } = await process.run();
  await recording?.close();
  context.count(traffic);
  done({ ...traffic, ...ending, ...(failure !== undefined && { failure }) });
}

/** Undefined where none are wanted. A session goes on without a recording that can't be made; the log tells. */
function record(
  id: string,
  { term, windowSize }: Terminal,
  { recordings, login, audit }: ChannelContext,
): Recording | undefined {
  const { processGuid, index } = login.target;
  const size = { columns: windowSize?.columns ?? 80, rows: windowSize?.rows ?? 24 };
  const failed = (error: unknown) => audit.warn(error, 'a session could not be recorded');
  try {
    const title = `${login.who} in ${processGuid}/${index}`;
    return recordings?.begin({ id, ...size, term, title }, failed);
  } catch (error) {
    failed(error);
    return undefined;
  }
}

function facts(wish: Wish): { kind: string; command?: string; subsystem?: string } {
  switch (wish.kind) {
    case 'exec':
      return { kind: 'exec', command: wish.command.slice(0, 4_096) };
    case 'subsystem':
      return { kind: 'subsystem', subsystem: wish.name };
    case 'shell':
      return { kind: 'shell' };
  }
}

/** A name of a terminal ends up in a variable and in file names of terminfo. */
function terminalOf({ term, cols, rows, modes }: PseudoTtyInfo & { term?: string }): Terminal {
  return {
    term: term !== undefined && /^[A-Za-z0-9._+-]{1,64}$/.test(term) ? term : 'xterm',
    windowSize: { columns: side(cols, 80), rows: side(rows, 24) },
    modes: Object.fromEntries(
      Object.entries(modes).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
    ),
  };
}

function side(value: number, usual: number): number {
  return Math.min(value || usual, MAX_SIDE);
}

function answer(yes: boolean, accept: Accept, reject: Reject): void {
  if (yes) accept?.();
  else reject?.();
}
