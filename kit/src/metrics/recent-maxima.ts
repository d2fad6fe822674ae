const WINDOW_MS = 60_000;

/** The largest value of each key in the last one to two minutes. */
export class RecentMaxima {
  #current = new Map<string, number>();
  #before = new Map<string, number>();
  #windowEndsMs: number;

  /** `monotonicMs`: milliseconds that never go back, from any origin. */
  constructor(private readonly monotonicMs: () => number = () => performance.now()) {
    this.#windowEndsMs = monotonicMs() + WINDOW_MS;
  }

  note(key: string, value: number): void {
    this.#turn();
    if (value > (this.#current.get(key) ?? Number.NEGATIVE_INFINITY)) this.#current.set(key, value);
  }

  entries(): [key: string, value: number][] {
    this.#turn();
    const both = new Map(this.#before);
    for (const [key, value] of this.#current) both.set(key, Math.max(value, both.get(key) ?? value));
    return [...both];
  }

  #turn(): void {
    const now = this.monotonicMs();
    if (now < this.#windowEndsMs) return;
    this.#before = now < this.#windowEndsMs + WINDOW_MS ? this.#current : new Map();
    this.#current = new Map();
    this.#windowEndsMs = now + WINDOW_MS;
  }
}
