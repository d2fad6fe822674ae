/** Gives the event loop a turn after each so many steps of a long walk. */
export class Pace {
  private steps = 0;

  constructor(private readonly stepsPerTurn: number) {}

  /** @returns what to wait for, now and then */
  step(): Promise<void> | undefined {
    if (++this.steps % this.stepsPerTurn !== 0) return undefined;
    return new Promise((resolve) => setImmediate(resolve));
  }
}
