interface Waiting<T> {
  item: T;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * Does together what is asked for at the same time: what arrives while a batch is being done makes up the next one. A batch that
 * fails is done again item by item, so that one doesn't spoil the others; the work has to bear being done twice.
 */
export class Batches<T> {
  private waiting: Waiting<T>[] = [];
  private working: Promise<void> | undefined;

  constructor(private readonly work: (items: T[]) => Promise<void>) {}

  /** Resolves when the batch of which the item is part was done. */
  add(item: T): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      this.working ??= this.drain();
    });
  }

  /** Resolves when nothing is being done or waits. */
  async idle(): Promise<void> {
    await this.working;
  }

  private async drain(): Promise<void> {
    // What is asked for in the same turn comes along.
    await Promise.resolve();
    while (this.waiting.length > 0) {
      const batch = this.waiting;
      this.waiting = [];
      await this.do(batch);
    }
    this.working = undefined;
  }

  private async do(batch: Waiting<T>[]): Promise<void> {
    try {
      await this.work(batch.map(({ item }) => item));
      for (const { resolve } of batch) resolve();
    } catch (error) {
      if (batch.length === 1) batch[0]?.reject(error);
      else for (const each of batch) await this.do([each]);
    }
  }
}
