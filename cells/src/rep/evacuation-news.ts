import type { ContainerRecord, Executor } from '../executor/executor.js';
import { workOf } from './work.js';

type Told = Pick<Executor, 'list' | 'say' | 'subscribe'>;

/** Tells the owners of instances what a drain means for them, in the instances' logs (spec cell §8, §11, §26). */
export class EvacuationNews {
  readonly #told = new Set<string>();
  #unsubscribe: (() => void) | undefined;

  constructor(private readonly executor: Told) {}

  /** From now on each instance that runs, or gets to run, is to be replaced elsewhere; that is told once for each. */
  begin(): void {
    if (this.#unsubscribe) return;
    this.#unsubscribe = this.executor.subscribe(({ kind, container }) => {
      if (kind === 'removed') this.#told.delete(container.guid);
      else this.#tell(container);
    });
    for (const container of this.executor.list()) this.#tell(container);
  }

  /** The time for replacing them is over. */
  timedOut(): void {
    for (const container of this.executor.list())
      if (isInstance(container)) this.executor.say?.(container.guid, 'reached evacuation timeout for');
  }

  close(): void {
    this.#unsubscribe?.();
  }

  #tell(container: ContainerRecord): void {
    if (container.state !== 'running' || this.#told.has(container.guid) || !isInstance(container)) return;
    this.#told.add(container.guid);
    this.executor.say?.(container.guid, 'requesting replacement for');
  }
}

function isInstance(container: ContainerRecord): boolean {
  return workOf(container)?.kind === 'lrp';
}
