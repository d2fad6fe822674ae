/** Work that several callers share. It is cut when the last of them has gone. */
interface Flight<T> {
  /** Callers with the same purpose may share. */
  purpose: string;
  result: Promise<T>;
  controller: AbortController;
  waiting: number;
  landed: boolean;
}

/**
 * At most one piece of work per key at a time. Callers with the same purpose share it; those with another wait until it is over.
 * `hand` is told how many callers get the result before any of them goes on; `takeBack` is for one that had gone in between.
 */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();

  constructor(private readonly handing: { hand(result: T, callers: number): void; takeBack(result: T): void }) {}

  async run(
    key: string,
    options: { purpose: string; signal: AbortSignal; work: (signal: AbortSignal) => Promise<T> },
  ): Promise<T> {
    for (;;) {
      options.signal.throwIfAborted();
      const flight = this.#flights.get(key) ?? this.#start(key, options.purpose, options.work);
      if (flight.purpose === options.purpose && !flight.controller.signal.aborted)
        return this.#join(flight, options.signal);
      await untilAborted(
        flight.result.then(
          () => {},
          () => {},
        ),
        options.signal,
      );
    }
  }

  #start(key: string, purpose: string, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController();
    const flight: Flight<T> = {
      purpose,
      controller,
      waiting: 0,
      landed: false,
      result: Promise.resolve().then(() => work(controller.signal)),
    };
    flight.result = flight.result.then(
      (result) => {
        flight.landed = true;
        this.#flights.delete(key);
        this.handing.hand(result, flight.waiting);
        return result;
      },
      (error) => {
        this.#flights.delete(key);
        throw error;
      },
    );
    flight.result.catch(() => {});
    this.#flights.set(key, flight);
    return flight;
  }

  async #join(flight: Flight<T>, signal: AbortSignal): Promise<T> {
    flight.waiting++;
    try {
      return await untilAborted(flight.result, signal);
    } catch (error) {
      if (flight.landed) this.handing.takeBack(await flight.result);
      else if (--flight.waiting === 0) flight.controller.abort(signal.reason);
      throw error;
    }
  }
}

/** The promise's outcome, or the signal's reason if that comes first. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason);
    if (signal.aborted) {
      promise.catch(() => {});
      aborted();
      return;
    }
    signal.addEventListener('abort', aborted, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted));
  });
}
