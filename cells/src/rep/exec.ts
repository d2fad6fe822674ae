import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import type { ExecInput, ExecOutput, ExecStart, ExecStarted, WindowSize } from '@rivera/gen/rivera/rep/v1/container';
import type { ExecRequest, ExecResponse } from '@rivera/gen/rivera/rep/v1/rep_service';
import { RiveraError } from '@rivera/kit/errors';
import type { CallContext } from '@rivera/kit/grpc/host';
import type { ContainedProcess, ContainerFate, Executor } from '../executor/executor.js';
import type { ExecSpec, InteractiveProcess } from '../garden/garden.js';
import { Bell } from './bell.js';
import { findLiveContainer, toRiveraError } from './container-target.js';
import { pacedWrite } from './paced-write.js';

/** Bound of both sides of a terminal. */
const MAX_WINDOW = 1_000;

/** Codes beyond it tell of a signal. */
const SIGNALLED = 128;

/** Characters of a container's own reason that people are shown. */
const MAX_REASON = 300;

/** Bytes of standard input in one message. */
const MAX_STDIN_BYTES = 1024 * 1024;

/** How long output may still come after the exit, when a process in the background keeps the stream open. */
const LINGER_MS = 250;

type Input = NonNullable<ExecInput['input']>;
type Output = NonNullable<ExecOutput['output']>;

/**
 * Runs a process for a person. Both directions wait for each other's reader; the process ends with the stream.
 * @throws RiveraError CONTAINER_NOT_READY with what people may read, when the process died with its container
 */
export async function* exec(
  { executor, cellId, evacuating }: { executor: Executor; cellId: string; evacuating: () => boolean },
  requests: AsyncIterable<ExecRequest>,
  context: CallContext,
): AsyncIterable<ExecResponse> {
  const inputs = requests[Symbol.asyncIterator]();
  const first = (await inputs.next()).value as ExecRequest | undefined;
  if (first?.input?.input?.$case !== 'start') throw new RiveraError('INVALID_REQUEST', 'the first message starts');
  const start = first.input.input.value;
  const container = findLiveContainer(executor, start.target);
  const process = await startProcess(executor, container.guid, start);
  const ended = async () => (process.fate ? whyEnded(await process.fate(), evacuating()) : undefined);
  yield* converse({ process, inputs, started: { containerGuid: container.guid, cellId }, ended }, context);
}

/** A part of what the client of an exec sends; services wrap it alike. */
interface ExecPart {
  input: ExecInput | undefined;
}

/** Lets a client and a process for a person talk. */
export async function* converse(
  o: {
    process: InteractiveProcess;
    inputs: AsyncIterator<ExecPart>;
    started: ExecStarted;
    /** Why its container took the process along; undefined: it did not. */
    ended?: () => Promise<string | undefined>;
  },
  context: CallContext,
): AsyncGenerator<ExecResponse, void> {
  const { process, inputs, started } = o;
  const kill = (): void => process.kill();
  context.signal.addEventListener('abort', kill, { once: true });
  if (context.signal.aborted) kill();
  const outputs = new Outputs(process);
  const exited = process.wait();
  exited.then(
    () => outputs.linger(),
    (error: unknown) => outputs.fail(toRiveraError(error)),
  );
  feed(process, inputs).catch((error: unknown) => outputs.fail(error));
  try {
    yield response({ $case: 'started', value: started });
    for await (const output of outputs.read()) yield response(output);
    const { code, signal } = await exited;
    const why = code > SIGNALLED || signal !== undefined ? await o.ended?.() : undefined;
    if (why !== undefined) throw new RiveraError('CONTAINER_NOT_READY', why);
    yield response({ $case: 'exit', value: { code, signal: signal?.replace(/^SIG/, '') ?? '' } });
  } finally {
    context.signal.removeEventListener('abort', kill);
    kill();
    outputs.close();
  }
}

function response(output: Output): ExecResponse {
  return { output: { output } };
}

function whyEnded(fate: ContainerFate, evacuating: boolean): string | undefined {
  switch (fate.kind) {
    case 'lives':
      return undefined;
    case 'stopped':
      return evacuating ? 'the instance was stopped, as its cell is being evacuated' : 'the instance was stopped';
    case 'ended': {
      const why = fate.why.replace(/\p{Cc}+/gu, ' ').slice(0, MAX_REASON);
      return why === '' ? 'the instance ended' : `the instance ended: ${why}`;
    }
  }
}

async function startProcess(executor: Executor, guid: string, start: ExecStart): Promise<ContainedProcess> {
  try {
    return await executor.exec(guid, execSpec(start));
  } catch (error) {
    throw toRiveraError(error);
  }
}

/** What a client asks to be run. @throws RiveraError INVALID_REQUEST */
export function execSpec(start: ExecStart): ExecSpec {
  const env: Record<string, string> = {};
  for (const variable of start.env) {
    const at = variable.indexOf('=');
    if (at <= 0) throw new RiveraError('INVALID_REQUEST', `"${variable.slice(0, 40)}" is not NAME=VALUE`);
    env[variable.slice(0, at)] = variable.slice(at + 1);
  }
  const { path, args, dir, terminal } = start;
  const spec: ExecSpec = { path, args, env, dir, user: start.user || 'root' };
  if (terminal) {
    const { term, windowSize, modes } = terminal;
    spec.terminal = { term: term || 'xterm', ...sizeOf(windowSize) };
    if (Object.keys(modes).length > 0) spec.terminal.modes = modes;
  }
  return spec;
}

function sizeOf(size: WindowSize | undefined): { columns: number; rows: number } {
  const within = (value: number, usual: number): number => Math.min(value || usual, MAX_WINDOW);
  return { columns: within(size?.columns ?? 0, 80), rows: within(size?.rows ?? 0, 24) };
}

/** Hands over what the client sends, and waits where the process does not read. */
async function feed(process: InteractiveProcess, inputs: AsyncIterator<ExecPart>): Promise<void> {
  const { stdin } = process;
  // A process that closes its input is its own business; what is written to it then goes nowhere.
  stdin.on('error', () => {});
  for (let next = await inputs.next(); !next.done; next = await inputs.next()) {
    const input = next.value.input?.input;
    if (input) await take(process, input);
  }
  stdin.end();
}

async function take(process: InteractiveProcess, input: Input): Promise<void> {
  switch (input.$case) {
    case 'start':
      throw new RiveraError('INVALID_REQUEST', 'the process was started already');
    case 'stdin':
      if (input.value.length > MAX_STDIN_BYTES) {
        throw new RiveraError('INVALID_REQUEST', `a message has at most ${MAX_STDIN_BYTES} bytes of standard input`);
      }
      return pacedWrite(process.stdin, input.value);
    case 'stdinClosed':
      if (input.value) process.stdin.end();
      return;
    case 'windowSize': {
      const { columns, rows } = sizeOf(input.value);
      process.resize(columns, rows);
      return;
    }
    case 'signal':
      process.signal(signalOf(input.value));
  }
}

function signalOf(name: string): NodeJS.Signals {
  const signal = `SIG${name}`;
  if (isSignal(signal)) return signal;
  throw new RiveraError('INVALID_REQUEST', `there is no signal "${name.slice(0, 20)}"`);
}

function isSignal(name: string): name is NodeJS.Signals {
  return Object.hasOwn(constants.signals, name);
}

/** Both outputs as they come, each read only as fast as the client takes it, until both end or the process has ended. */
class Outputs {
  readonly #streams: { name: 'stdout' | 'stderr'; stream: Readable }[];
  readonly #bell = new Bell();
  #failure: unknown;
  #lingering: NodeJS.Timeout | undefined;
  #over = false;

  constructor({ stdout, stderr }: InteractiveProcess) {
    this.#streams = [
      { name: 'stdout', stream: stdout },
      { name: 'stderr', stream: stderr },
    ];
    for (const { stream } of this.#streams) {
      // A terminal ends with an error once its last process has gone; to its reader that is the end.
      for (const event of ['readable', 'end', 'close', 'error']) stream.on(event, () => this.#bell.ring());
    }
  }

  /** Ends the outputs with an error. */
  fail(error: unknown): void {
    this.#failure = error;
    this.#bell.ring();
  }

  /** The process has ended: what is still written within a while is taken, as a child of it may hold the stream open. */
  linger(): void {
    clearTimeout(this.#lingering);
    this.#lingering = setTimeout(() => {
      this.#over = true;
      this.#bell.ring();
    }, LINGER_MS);
  }

  close(): void {
    clearTimeout(this.#lingering);
    for (const { stream } of this.#streams) stream.destroy();
  }

  async *read(): AsyncIterable<Output> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      let quiet = true;
      for (const { name, stream } of this.#streams) {
        const chunk: unknown = stream.read();
        if (!Buffer.isBuffer(chunk)) continue;
        quiet = false;
        yield { $case: name, value: chunk };
      }
      if (!quiet) {
        if (this.#lingering !== undefined) this.linger();
        continue;
      }
      if (this.#over || this.#streams.every(({ stream }) => stream.readableEnded || stream.destroyed)) return;
      await this.#bell.heard();
    }
  }
}
