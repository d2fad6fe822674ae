/** Counts the handlers that run, by method, so that closing can wait for them and name those that do not end. */
export class RunningHandlers {
  readonly #counts = new Map<string, number>();
  #total = 0;
  #idle: (() => void)[] = [];

  begin(method: string): void {
    this.#total++;
    this.#counts.set(method, (this.#counts.get(method) ?? 0) + 1);
  }

  end(method: string): void {
    this.#total--;
    const left = (this.#counts.get(method) ?? 0) - 1;
    if (left > 0) this.#counts.set(method, left);
    else this.#counts.delete(method);
    if (this.#total > 0) return;
    const waiting = this.#idle;
    this.#idle = [];
    for (const resolve of waiting) resolve();
  }

  /** Methods whose handlers run now. */
  get methods(): string[] {
    return [...this.#counts.keys()];
  }

  /** Resolves when none runs. */
  idle(): Promise<void> {
    return this.#total === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }
}
