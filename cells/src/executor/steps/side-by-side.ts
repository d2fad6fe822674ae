import { setMaxListeners } from 'node:events';
import { failed, type Step, type StepContext, type StepResult, type StepRun } from './step.js';
import type { StepMemory } from './step-memory.js';

/** The member of a group whose end is the end of all, and how it ended. */
export interface Decision {
  index: number;
  result: StepResult;
}

/** Steps that run at the same time. */
export interface SideBySide {
  /** In the order of the steps; each resolves when its step has ended. */
  results: Promise<StepResult>[];
  /**
   * This member's end is the end of all; later calls change nothing. It is kept before the others are told to end: after a
   * restart their exits must not look like failures of their own.
   */
  decide(decision: Decision): Promise<void>;
  /** To be called when all have ended. */
  done(): void;
}

/**
 * Starts all at once; `ready` is called when all are ready. When an earlier executor has decided, the deciding member is not
 * run again and the others are told to end from the start.
 */
export function startSideBySide(
  id: string,
  steps: readonly Step[],
  run: StepRun,
  { memory, lifetime }: Pick<StepContext, 'memory' | 'lifetime'>,
): SideBySide {
  const key = `decided:${id}`;
  const before = recall(memory, key);
  const controllers = steps.map(() => new AbortController());
  const cancelAll = (): void => {
    for (const controller of controllers) controller.abort();
  };
  for (const controller of controllers) setMaxListeners(0, controller.signal);
  run.signal.addEventListener('abort', cancelAll, { once: true });
  if (run.signal.aborted || before) cancelAll();

  let notReady = steps.length;
  const results = steps.map((step, index) => {
    let isReady = false;
    const ready = (): void => {
      if (isReady) return;
      isReady = true;
      if (--notReady === 0) run.ready();
    };
    if (before?.index !== index) return step.run({ signal: (controllers[index] as AbortController).signal, ready });
    ready();
    return Promise.resolve(before.result);
  });

  let decided = before !== undefined;
  return {
    results,
    decide: async ({ index, result }) => {
      if (decided) return;
      decided = true;
      // When all were told to end from outside, nobody's end means anything.
      if (!run.signal.aborted) await lifetime.alive(memory.set(key, `${index}:${result?.text ?? ''}`));
      cancelAll();
    },
    done: () => run.signal.removeEventListener('abort', cancelAll),
  };
}

function recall(memory: StepMemory, key: string): Decision | undefined {
  const text = memory.get(key);
  if (typeof text !== 'string') return undefined;
  const colon = text.indexOf(':');
  const reason = text.slice(colon + 1);
  return { index: Number(text.slice(0, colon)), result: reason === '' ? undefined : failed(reason) };
}
