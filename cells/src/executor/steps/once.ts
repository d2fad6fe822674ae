import { failed, type StepContext, type StepResult } from './step.js';

/**
 * Work without a process that is not to be done again once it is done, such as a transfer: its outcome is kept before
 * anything that comes after it. Cancelled work leaves nothing behind.
 */
export async function once(
  id: string,
  { memory, lifetime }: Pick<StepContext, 'memory' | 'lifetime'>,
  work: () => Promise<StepResult>,
): Promise<StepResult> {
  const key = `done:${id}`;
  const before = memory.get(key);
  if (typeof before === 'string') return before === '' ? undefined : failed(before);
  const result = await lifetime.alive(work());
  if (result === undefined || result.kind === 'failed') await lifetime.alive(memory.set(key, result?.text ?? ''));
  return result;
}
