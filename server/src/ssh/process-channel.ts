import type { ExecInput, ExecStart, WindowSize } from '@rivera/gen/rivera/rep/v1/container';
import type { ExecRequest, ExecResponse } from '@rivera/gen/rivera/rep/v1/rep_service';
import { type BidiStream, bidi } from '@rivera/kit/grpc/dial';
import type { ServerChannel } from 'ssh2';
import type { ChannelContext } from './channel-context.js';
import { ChannelWriter, readChannel, type Traffic } from './channel-pipe.js';
import { type Ending, endingOf, SSH_SIGNALS } from './exit.js';
import { isGone, LOST, whyLost } from './farewell.js';
import type { Recording } from './recording.js';

/** What a process gets to say goodbye after its client has gone: HUP first, then the cell kills it with the stream. */
const HANG_UP_MS = 2_000;
/** Signals that may be on their way to a process that does not take them. */
const MAX_SIGNALS = 16;

export interface ProcessOptions {
  readonly context: Pick<ChannelContext, 'cell' | 'login' | 'wire' | 'signal' | 'leaving' | 'active' | 'end'>;
  readonly start: ExecStart;
  readonly channel: ServerChannel;
  readonly traffic: Traffic;
  readonly recording: Recording | undefined;
}

/** How it went, for the audit. */
export interface ProcessOutcome {
  readonly ending: Ending;
  readonly failure: string | undefined;
}

type Input = NonNullable<ExecInput['input']>;

/** A process in the container, tied to a channel: bytes at the pace of the slower side, and the end of one is the other's. */
export class ProcessChannel {
  readonly #stream: BidiStream<ExecRequest, ExecResponse>;
  readonly #abandon = new AbortController();
  readonly #writer: ChannelWriter;
  readonly #sent = new Set<string>();
  #signals = 0;
  #size: WindowSize | undefined;
  /** Set once the client was told that it ends, and why. */
  #farewell: string | undefined;
  #killing: NodeJS.Timeout | undefined;

  constructor(private readonly options: ProcessOptions) {
    const { context, channel } = options;
    this.#stream = bidi(() => context.cell.exec(), this.#abandon.signal);
    this.#writer = new ChannelWriter(channel, context.wire);
  }

  /** Resolves when the process has ended and the client has been told. Never rejects. */
  async run(): Promise<ProcessOutcome> {
    const { channel, start, context } = this.options;
    const { signal, leaving } = context;
    const hangUp = () => this.#hangUp();
    const leave = () => this.#leave(String(leaving.reason));
    // ssh2 tells a session's channel nothing when the whole connection breaks; those who wait for it have to learn of it.
    const gone = () => channel.emit('close');
    channel.once('close', hangUp);
    signal.addEventListener('abort', gone, { once: true });
    leaving.addEventListener('abort', leave, { once: true });
    if (leaving.aborted) leave();
    if (signal.aborted) gone();
    try {
      void this.#say({ $case: 'start', value: start });
      readChannel(channel, async (data) => {
        this.options.traffic.up += data.length;
        await this.#say({ $case: 'stdin', value: data });
      })
        .then(() => this.#say({ $case: 'stdinClosed', value: true }))
        // The process has ended and wants no more: the responses tell.
        .catch(() => undefined);
      return await this.#follow();
    } catch (error) {
      return this.#lost(error);
    } finally {
      clearTimeout(this.#killing);
      channel.off('close', hangUp);
      signal.removeEventListener('abort', gone);
      leaving.removeEventListener('abort', leave);
      this.#abandon.abort();
    }
  }

  /** Of several sizes that come while the cell is slow only the last one matters. */
  resize(columns: number, rows: number): void {
    this.options.recording?.resized(columns, rows);
    const waits = this.#size !== undefined;
    this.#size = { columns, rows };
    if (!waits) void this.#tellSize().catch(() => undefined);
  }

  async #tellSize(): Promise<void> {
    for (let told: WindowSize | undefined; told !== this.#size; ) {
      told = this.#size;
      if (told) await this.#say({ $case: 'windowSize', value: told });
    }
    this.#size = undefined;
  }

  /** @returns whether SSH knows such a signal, and the process takes it */
  signal(name: string): boolean {
    if (!(SSH_SIGNALS as readonly string[]).includes(name) || this.#signals >= MAX_SIGNALS) return false;
    this.#sent.add(name);
    this.#signals++;
    this.#say({ $case: 'signal', value: name })
      .catch(() => undefined)
      .finally(() => this.#signals--);
    return true;
  }

  async #follow(): Promise<ProcessOutcome> {
    const { channel, traffic, recording, start, context } = this.options;
    for await (const { output } of this.#stream.responses) {
      const said = output?.output;
      if (said?.$case === 'stdout' || said?.$case === 'stderr') {
        traffic.down += said.value.length;
        recording?.output(said.value);
        if (await this.#writer.write(said.value, said.$case === 'stdout' ? 'output' : 'errors')) context.active();
      }
      if (said?.$case === 'exit') {
        if (this.#farewell !== undefined) break;
        const ending = endingOf(said.value, { interactive: start.terminal !== undefined, sent: this.#sent });
        if ('status' in ending) channel.exit(ending.status);
        else channel.exit(ending.signal);
        channel.end();
        return { ending, failure: undefined };
      }
    }
    throw new Error('the cell broke off');
  }

  #lost(error: unknown): ProcessOutcome {
    const { context } = this.options;
    const why = this.#farewell ?? whyLost(error, context.login.target.location.cellId);
    if (!context.signal.aborted) this.#goodbye(why);
    if (isGone(error)) context.end(why);
    return { ending: { status: LOST }, failure: why };
  }

  /** The connection is about to end: the client is told, and the process. */
  #leave(why: string): void {
    this.#goodbye(why);
    this.#hangUp();
  }

  /** One line, and the end; the client sees why, unless it is gone itself. */
  #goodbye(why: string): void {
    if (this.#farewell !== undefined) return;
    this.#farewell = why;
    const { channel, start } = this.options;
    if (!channel.writable) return;
    const end = start.terminal ? '\r\n' : '\n';
    channel.stderr.write(`${start.terminal ? '\r\n' : ''}rivera: ${why}${end}`);
    channel.exit(LOST);
    channel.end();
  }

  #hangUp(): void {
    if (this.#abandon.signal.aborted || this.#killing) return;
    void this.#say({ $case: 'signal', value: 'HUP' }).catch(() => undefined);
    this.#killing = setTimeout(() => this.#abandon.abort(), HANG_UP_MS);
  }

  #say(input: Input): Promise<void> {
    return this.#stream.write({ input: { input } });
  }
}
