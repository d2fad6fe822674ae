import type { Readable, Writable } from 'node:stream';
import { ExecRequest, AccessServiceService as methods } from '@rivera/gen/rivera/access/v1/access_service';
import {
  type ExecExit,
  type ExecInput,
  type ExecOutput,
  ExecStart,
  type ExecStarted,
} from '@rivera/gen/rivera/rep/v1/container';
import { InternalError, UnavailableError } from '../errors.js';
import type { Input } from '../input.js';
import { Deferred } from '../transport/deferred.js';
import type { Scope } from '../transport/lifetime.js';
import { messagesOf, Reconnects, Sender } from '../transport/streams.js';
import type { Transport } from '../transport/transport.js';
import { Inlet, Outlet } from './pipes.js';

/**
 * A process in a container. It ends with this session.
 *
 * Both outputs must be read, or given up with `destroy()`: one that fills up holds back the other, as pipes of a local
 * process would. If the connection breaks, the outputs end and `exit` rejects: await it before trusting that they are whole.
 */
export class ExecSession {
  /** Standard input; `end()` closes it. Bytes written before the process runs wait for it. */
  readonly stdin: Writable;
  /** Standard output, or everything when there is a terminal. */
  readonly stdout: Readable;
  /** Standard error; empty when there is a terminal. */
  readonly stderr: Readable;
  /** Resolves when the process runs; rejects when it can't be started. */
  readonly started: Promise<ExecStarted>;
  /** Resolves with how the process ended: `signal` is empty unless one ended it. Rejects when that can't be known. */
  readonly exit: Promise<Pick<ExecExit, 'code' | 'signal'>>;

  readonly #transport: Transport;
  readonly #scope: Scope;
  readonly #killer = new AbortController();
  readonly #started = new Deferred<ExecStarted>();
  /** The way to the process, once it runs: nothing but the start may be sent before, for the call may still move. */
  readonly #running = new Deferred<Sender<ExecRequest>>();
  readonly #stdout = new Outlet();
  readonly #stderr = new Outlet();

  constructor(transport: Transport, start: Input<ExecStart>, { signal }: { signal?: AbortSignal | undefined } = {}) {
    this.#transport = transport;
    this.#scope = transport.lifetime.enter(this.#killer.signal);
    const abort = () => this.#killer.abort(signal?.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { once: true });

    const inlet = new Inlet(
      (data) => this.#send({ $case: 'stdin', value: data }),
      () => this.#send({ $case: 'stdinClosed', value: true }),
    );
    this.stdin = inlet.writable;
    this.stdout = this.#stdout.readable;
    this.stderr = this.#stderr.readable;
    this.started = this.#started.promise;

    const exit = new Deferred<ExecExit>();
    this.exit = exit.promise;
    void this.#run(ExecStart.fromPartial(start))
      .then(exit.resolve, (error: unknown) => {
        for (const waiting of [this.#started, this.#running, exit]) waiting.reject(error);
      })
      .finally(() => {
        signal?.removeEventListener('abort', abort);
        this.#scope.leave();
        this.#stdout.end();
        this.#stderr.end();
        inlet.close();
      });
  }

  /** Tells the terminal its new size. */
  resize(columns: number, rows: number): void {
    void this.#send({ $case: 'windowSize', value: { columns, rows } });
  }

  /** Sends a signal to the process, e.g. `INT` or `SIGINT`. */
  signal(name: string): void {
    void this.#send({ $case: 'signal', value: name.replace(/^SIG/, '') });
  }

  /** Gives the session up; the process ends with it and `exit` rejects with a CancelledError. */
  kill(): void {
    this.#killer.abort(new Error('the session was killed'));
  }

  /** Sends once the process runs; after its end there is nobody to send to, and `exit` tells why. */
  async #send(input: NonNullable<ExecInput['input']>): Promise<void> {
    let sender: Sender<ExecRequest>;
    try {
      sender = await this.#running.promise;
    } catch {
      return;
    }
    await sender.send({ input: { input } });
  }

  /** Tried again only before the process runs, and if it certainly had no effect: a process must not be started twice. */
  async #run(start: ExecStart): Promise<ExecExit> {
    const reconnects = new Reconnects(this.#transport, this.#scope, { safety: 'once', patience: 'bounded' });
    for (;;) {
      if (this.#scope.signal.aborted) throw this.#scope.cancelled();
      const opened = this.#transport.duplex(methods.exec);
      const sender = new Sender<ExecRequest>(opened.call);
      let exit: ExecExit | undefined;
      let answered = false;
      try {
        void sender.send(ExecRequest.fromPartial({ input: { input: { $case: 'start', value: start } } }));
        for await (const { output } of messagesOf(opened.call, this.#scope.signal)) {
          answered = true;
          exit = (await this.#take(output?.output, sender)) ?? exit;
          if (exit) break;
        }
        if (exit) return exit;
        throw new UnavailableError({ message: 'the session ended before the process did' });
      } catch (cause) {
        if (answered) reconnects.giveUp(cause);
        await reconnects.after(cause, opened);
      }
    }
  }

  async #take(output: ExecOutput['output'], sender: Sender<ExecRequest>): Promise<ExecExit | undefined> {
    switch (output?.$case) {
      case 'started':
        this.#started.resolve(output.value);
        this.#running.resolve(sender);
        return undefined;
      case 'stdout':
        await this.#stdout.deliver(output.value, this.#scope.signal);
        return undefined;
      case 'stderr':
        await this.#stderr.deliver(output.value, this.#scope.signal);
        return undefined;
      case 'exit':
        this.#started.reject(new InternalError({ message: 'the process ended without having started' }));
        return output.value;
      default:
        return undefined;
    }
  }
}
