import type { ExecInput, ExecStart } from '@rivera/gen/rivera/rep/v1/container';
import type { ExecRequest, ExecResponse, RepServiceClient } from '@rivera/gen/rivera/rep/v1/rep_service';
import { type BidiStream, bidi } from '@rivera/kit/grpc/dial';
import type { ServerChannel } from 'ssh2';
import { flushed, readChannel, type Traffic, writeChannel } from './channel-pipe.js';
import { type Ending, endingOf, SSH_SIGNALS } from './exit.js';
import type { Recording } from './recording.js';

/** What a process gets to say goodbye after its client has gone: HUP first, then the cell kills it with the stream. */
const HANG_UP_MS = 2_000;
/** What `could not start` and `was lost` are to the client (spec access §4.2). */
const LOST = 255;

export interface ProcessOptions {
  readonly cell: RepServiceClient;
  readonly start: ExecStart;
  readonly channel: ServerChannel;
  /** The connection ends. */
  readonly signal: AbortSignal;
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
  readonly #sent = new Set<string>();

  constructor(private readonly options: ProcessOptions) {
    this.#stream = bidi(() => options.cell.exec(), this.#abandon.signal);
  }

  /** Resolves when the process has ended and the client has been told. Never rejects. */
  async run(): Promise<ProcessOutcome> {
    const { channel, start, signal } = this.options;
    const hangUp = () => this.#hangUp();
    // ssh2 tells a session's channel nothing when the whole connection breaks; those who wait for it have to learn of it.
    const gone = () => channel.emit('close');
    channel.once('close', hangUp);
    signal.addEventListener('abort', gone, { once: true });
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
      return await this.#lost(error);
    } finally {
      channel.off('close', hangUp);
      signal.removeEventListener('abort', gone);
      this.#abandon.abort();
    }
  }

  resize(columns: number, rows: number): void {
    this.options.recording?.resized(columns, rows);
    void this.#say({ $case: 'windowSize', value: { columns, rows } }).catch(() => undefined);
  }

  /** @returns whether SSH knows such a signal */
  signal(name: string): boolean {
    if (!(SSH_SIGNALS as readonly string[]).includes(name)) return false;
    this.#sent.add(name);
    void this.#say({ $case: 'signal', value: name }).catch(() => undefined);
    return true;
  }

  async #follow(): Promise<ProcessOutcome> {
    const { channel, traffic, recording, start } = this.options;
    for await (const { output } of this.#stream.responses) {
      const said = output?.output;
      if (said?.$case === 'stdout' || said?.$case === 'stderr') {
        traffic.down += said.value.length;
        recording?.output(said.value);
        await writeChannel(channel, said.$case === 'stdout' ? channel : channel.stderr, said.value);
      }
      if (said?.$case === 'exit') {
        const ending = endingOf(said.value, { interactive: start.terminal !== undefined, sent: this.#sent });
        await Promise.all([flushed(channel, channel), flushed(channel, channel.stderr)]);
        if ('status' in ending) channel.exit(ending.status);
        else channel.exit(ending.signal);
        channel.end();
        return { ending, failure: undefined };
      }
    }
    throw new Error('the cell broke off');
  }

  /** The client sees why, unless it is gone itself. */
  async #lost(error: unknown): Promise<ProcessOutcome> {
    const { channel, start, signal } = this.options;
    const failure = error instanceof Error ? error.message : String(error);
    if (channel.writable && !signal.aborted) {
      const text = Buffer.from(`rivera: ${failure}${start.terminal ? '\r\n' : '\n'}`);
      await writeChannel(channel, start.terminal ? channel : channel.stderr, text);
      channel.exit(LOST);
      channel.end();
    }
    return { ending: { status: LOST }, failure };
  }

  #hangUp(): void {
    if (this.#abandon.signal.aborted) return;
    void this.#say({ $case: 'signal', value: 'HUP' }).catch(() => undefined);
    setTimeout(() => this.#abandon.abort(), HANG_UP_MS).unref();
  }

  #say(input: Input): Promise<void> {
    return this.#stream.write({ input: { input } });
  }
}
