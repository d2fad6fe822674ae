import type { ExecutorResources } from '../executor.js';

/** What is set aside, and what is left (spec cell §16). */
export class ResourceLedger {
  #held: ExecutorResources = { memoryMb: 0, diskMb: 0, containers: 0 };

  constructor(readonly total: Readonly<ExecutorResources>) {}

  /** Never negative, also when the total was made smaller than what runs. */
  get available(): ExecutorResources {
    return {
      memoryMb: Math.max(0, this.total.memoryMb - this.#held.memoryMb),
      diskMb: Math.max(0, this.total.diskMb - this.#held.diskMb),
      containers: Math.max(0, this.total.containers - this.#held.containers),
    };
  }

  /** Sets all of it aside or nothing. */
  reserve(wanted: ExecutorResources): boolean {
    const { available } = this;
    if (
      wanted.memoryMb > available.memoryMb ||
      wanted.diskMb > available.diskMb ||
      wanted.containers > available.containers
    )
      return false;
    this.adopt(wanted);
    return true;
  }

  /** Sets aside what is in use already, whether it fits or not. */
  adopt(used: ExecutorResources): void {
    this.#held = {
      memoryMb: this.#held.memoryMb + used.memoryMb,
      diskMb: this.#held.diskMb + used.diskMb,
      containers: this.#held.containers + used.containers,
    };
  }

  free(held: ExecutorResources): void {
    this.adopt({ memoryMb: -held.memoryMb, diskMb: -held.diskMb, containers: -held.containers });
  }
}
