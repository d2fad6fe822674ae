import { setMaxListeners } from 'node:events';
import { failed, type Step, type StepContext, type StepResult, type StepRun } from '../steps/step.js';

const LOST = 'credentials.lost';

/**
 * A container's recipe beside its credentials (spec cell §19): it starts once they are there and keeps them until its last process has
 * ended. When they are lost, the recipe ends; that is kept first, so that after a restart its exits aren't taken for failures.
 */
export class WithCredentials implements Step {
  constructor(
    private readonly credentials: Step,
    private readonly recipe: Step,
    private readonly context: Pick<StepContext, 'memory' | 'lifetime'>,
  ) {}

  async run({ signal, ready }: StepRun): Promise<StepResult> {
    const { memory, lifetime } = this.context;
    const cutRecipe = new AbortController();
    const cutCredentials = new AbortController();
    setMaxListeners(0, cutRecipe.signal);
    const forward = (): void => cutRecipe.abort(signal.reason);
    signal.addEventListener('abort', forward, { once: true });
    if (signal.aborted) forward();
    let lost = memory.get(LOST);
    if (typeof lost === 'string') cutRecipe.abort();

    let present = (): void => {};
    const there = new Promise<void>((resolve) => {
      present = resolve;
    });
    const keeping = typeof lost === 'string' ? undefined : this.#keep(cutCredentials.signal, present);
    const ending = keeping?.then(async (text) => {
      if (text !== undefined) {
        lost = text;
        await lifetime.alive(memory.set(LOST, text));
        cutRecipe.abort();
      }
      present();
    });
    if (keeping) await lifetime.alive(there);
    const result = await this.recipe.run({ signal: cutRecipe.signal, ready });
    signal.removeEventListener('abort', forward);
    cutCredentials.abort();
    await ending;
    return typeof lost === 'string' && !signal.aborted ? failed(lost) : result;
  }

  /** Why they were lost; undefined when they were kept to the end. */
  async #keep(signal: AbortSignal, present: () => void): Promise<string | undefined> {
    const result = await this.credentials.run({ signal, ready: present });
    return result?.kind === 'failed' ? result.text : undefined;
  }
}
