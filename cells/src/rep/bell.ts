/** Wakes one waiter. A ring while nobody waits is not lost; many rings before a wait count as one. */
export class Bell {
  #rung = false;
  #waiting: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#waiting?.();
  }

  /** Resolves a turn of the event loop after a ring, so that what comes up together is handled together. */
  async heard(): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
      this.#waiting = undefined;
    }
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#rung = false;
  }
}
