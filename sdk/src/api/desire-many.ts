import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import {
  DesireLrpsRequest,
  type DesireLrpsResponse,
  DesiredLrpServiceService as methods,
} from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { InternalError, type RiveraError, UnavailableError } from '../errors.js';
import type { CallOptions, Input } from '../input.js';
import { errorFromStatus } from '../transport/status.js';
import { messagesOf, Reconnects, Sender } from '../transport/streams.js';
import type { Transport } from '../transport/transport.js';

/** What became of one item. */
export interface DesireManyResult {
  /** Position in the input, from 0. */
  readonly index: number;
  readonly processGuid: string;
  /** Why it is not desired; undefined: it is, durably. */
  readonly error: RiveraError | undefined;
}

/** Items that are under way at a time. */
const WINDOW = 1_000;

/** Sends items as fast as they are answered; what a broken connection leaves unanswered is sent again, which is harmless. */
export async function* desireMany(
  transport: Transport,
  lrps: Iterable<Input<DesiredLrp>> | AsyncIterable<Input<DesiredLrp>>,
  options: Pick<CallOptions, 'signal'> = {},
): AsyncGenerator<DesireManyResult, void, undefined> {
  const scope = transport.lifetime.enter(options.signal);
  const reconnects = new Reconnects(transport, scope, { safety: 'repeatable', patience: 'bounded' });
  const work = new Work(lrps);
  try {
    while (!(await work.finished())) {
      if (scope.signal.aborted) throw scope.cancelled();
      const opened = transport.duplex(methods.desireLrps);
      const sender = new Sender<DesireLrpsRequest>(opened.call);
      void work.sendTo(sender).catch((error: unknown) => {
        work.inputFailure = { error };
        opened.call.cancel();
      });
      try {
        for await (const response of messagesOf(opened.call, scope.signal)) {
          reconnects.progressed();
          yield work.answered(response);
        }
        if (!(await work.finished())) throw new UnavailableError({ message: 'the server ended the stream early' });
      } catch (cause) {
        if (work.inputFailure) throw work.inputFailure.error;
        await reconnects.after(cause, opened);
      } finally {
        work.release();
      }
    }
  } finally {
    work.close();
    scope.leave();
  }
}

/** The items: taken from the input one by one, kept until they are answered. */
class Work {
  readonly #input: Iterator<Input<DesiredLrp>> | AsyncIterator<Input<DesiredLrp>>;
  readonly #unanswered = new Map<number, DesireLrpsRequest>();
  #next: Promise<IteratorResult<Input<DesiredLrp>>> | undefined;
  #taken = 0;
  #exhausted = false;
  #wake: () => void = () => {};
  /** What the input itself threw; that ends the whole. */
  inputFailure: { error: unknown } | undefined;

  constructor(lrps: Iterable<Input<DesiredLrp>> | AsyncIterable<Input<DesiredLrp>>) {
    this.#input = Symbol.asyncIterator in lrps ? lrps[Symbol.asyncIterator]() : lrps[Symbol.iterator]();
  }

  /** Looks ahead by one item. */
  async finished(): Promise<boolean> {
    if (this.#unanswered.size > 0) return false;
    await this.#peek();
    return this.#exhausted;
  }

  async #peek(): Promise<IteratorResult<Input<DesiredLrp>>> {
    this.#next ??= Promise.resolve(this.#input.next());
    const result = await this.#next;
    if (result.done) this.#exhausted = true;
    return result;
  }

  /** Sends what is unanswered, then the rest, until the input or the call ends. */
  async sendTo(sender: Sender<DesireLrpsRequest>): Promise<void> {
    for (const request of [...this.#unanswered.values()]) await sender.send(request);
    while (!sender.over) {
      if (this.#unanswered.size >= WINDOW) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      const result = await this.#peek();
      if (result.done) break;
      if (sender.over) return;
      this.#next = undefined;
      const request = DesireLrpsRequest.fromPartial({
        sequence: this.#taken++,
        desiredLrp: DesiredLrp.fromPartial(result.value),
      });
      this.#unanswered.set(request.sequence, request);
      await sender.send(request);
    }
    sender.end();
  }

  answered({ sequence, code, message }: DesireLrpsResponse): DesireManyResult {
    const request = this.#unanswered.get(sequence);
    if (!request) throw new InternalError({ message: `an answer to item ${sequence}, which was not asked` });
    this.#unanswered.delete(sequence);
    this.#wake();
    const error = code === 0 ? undefined : errorFromStatus(code, message);
    return { index: sequence, processGuid: request.desiredLrp?.processGuid ?? '', error };
  }

  /** The call is over: nobody waits for room on it. */
  release(): void {
    this.#wake();
  }

  /** The input is not needed any more. Not awaited: it may be waiting for something that never comes. */
  close(): void {
    if (this.#exhausted || this.inputFailure) return;
    Promise.resolve(this.#input.return?.()).catch(() => {
      // The caller has stopped reading: nobody is left to hear how the input's clean-up went.
    });
  }
}
