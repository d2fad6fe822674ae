import type { MethodDefinition } from '@grpc/grpc-js';
import { InternalError, type RiveraError, UnavailableError } from '../errors.js';
import type { CallOptions } from '../input.js';
import { errorFromStatus } from '../transport/status.js';
import { messagesOf, Reconnects, Sender } from '../transport/streams.js';
import type { Transport } from '../transport/transport.js';

/** What a caller has many of. */
export type Items<Item> = Iterable<Item> | AsyncIterable<Item>;

/** What became of one item. */
export interface ManyResult {
  /** Position in the input, from 0. */
  readonly index: number;
  /** Why it was not done; undefined: it was, durably. */
  readonly error: RiveraError | undefined;
}

interface Numbered {
  sequence: number;
}

interface Answer extends Numbered {
  code: number;
  message: string;
}

/** A method that takes a stream of requests and answers each. */
export interface ManyMethod<Item, Request extends Numbered, Response extends Answer, Result> {
  readonly method: MethodDefinition<Request, Response>;
  request(item: Item, sequence: number): Request;
  /** @param again it was sent more than once, so an earlier sending may have been obeyed */
  result(o: { request: Request; response: Response; error: RiveraError | undefined; again: boolean }): Result;
}

/** Items that are under way at a time. */
const WINDOW = 1_000;

/** Sends items as fast as they are answered; what a broken connection leaves unanswered is sent again. */
export async function* sendMany<Item, Request extends Numbered, Response extends Answer, Result>(
  transport: Transport,
  many: ManyMethod<Item, Request, Response, Result>,
  { items, signal }: { items: Items<Item> } & Pick<CallOptions, 'signal'>,
): AsyncGenerator<Result, void, undefined> {
  const scope = transport.lifetime.enter(signal);
  const reconnects = new Reconnects(transport, scope, { safety: 'repeatable', patience: 'bounded' });
  const work = new Work(items, (item: Item, sequence) => many.request(item, sequence));
  try {
    while (!(await work.finished())) {
      if (scope.signal.aborted) throw scope.cancelled();
      const opened = transport.duplex(many.method);
      const sender = new Sender<Request>(opened.call);
      void work.sendTo(sender).catch((error: unknown) => {
        work.inputFailure = { error };
        opened.call.cancel();
      });
      try {
        for await (const response of messagesOf(opened.call, scope.signal)) {
          reconnects.progressed();
          const { code, message } = response;
          const error = code === 0 ? undefined : errorFromStatus(code, message);
          yield many.result({ ...work.answered(response.sequence), response, error });
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
class Work<Item, Request extends Numbered> {
  readonly #input: Iterator<Item> | AsyncIterator<Item>;
  readonly #toRequest: (item: Item, sequence: number) => Request;
  readonly #unanswered = new Map<number, Request>();
  /** Those that were sent on an earlier stream and not answered there. */
  readonly #again = new Set<number>();
  #next: Promise<IteratorResult<Item>> | undefined;
  #taken = 0;
  #exhausted = false;
  #wake: () => void = () => {};
  /** What the input itself threw; that ends the whole. */
  inputFailure: { error: unknown } | undefined;

  constructor(items: Items<Item>, toRequest: (item: Item, sequence: number) => Request) {
    this.#input = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
    this.#toRequest = toRequest;
  }

  /** Looks ahead by one item. */
  async finished(): Promise<boolean> {
    if (this.#unanswered.size > 0) return false;
    await this.#peek();
    return this.#exhausted;
  }

  async #peek(): Promise<IteratorResult<Item>> {
    this.#next ??= Promise.resolve(this.#input.next());
    const result = await this.#next;
    if (result.done) this.#exhausted = true;
    return result;
  }

  /** Sends what is unanswered, then the rest, until the input or the call ends. */
  async sendTo(sender: Sender<Request>): Promise<void> {
    for (const request of [...this.#unanswered.values()]) {
      this.#again.add(request.sequence);
      await sender.send(request);
    }
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
      const request = this.#toRequest(result.value, this.#taken++);
      this.#unanswered.set(request.sequence, request);
      await sender.send(request);
    }
    sender.end();
  }

  answered(sequence: number): { request: Request; again: boolean } {
    const request = this.#unanswered.get(sequence);
    if (!request) throw new InternalError({ message: `an answer to item ${sequence}, which was not asked` });
    this.#unanswered.delete(sequence);
    this.#wake();
    return { request, again: this.#again.delete(sequence) };
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
