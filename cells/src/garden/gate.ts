/** Lets those that wait go on together, each time that something happened. Ask for `next` before looking, so as to miss nothing. */
export class Gate {
  private waiting = new Set<() => void>();

  /** Resolves at the next `open`, or when the signal is aborted. */
  next(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const go = () => {
        this.waiting.delete(go);
        signal?.removeEventListener('abort', go);
        resolve();
      };
      this.waiting.add(go);
      signal?.addEventListener('abort', go);
    });
  }

  /** Something happened. */
  open(): void {
    for (const go of [...this.waiting]) go();
  }
}
