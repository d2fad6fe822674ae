import { MetricsRegistry } from '@rivera/kit/metrics';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lookAtDue } from '../bbs/core/converge.js';
import { dueKey } from '../bbs/core/state.js';
import { cancelTask, deleteTask, resolveTask, retryTaskCallback } from '../bbs/core/task.js';
import { postponeCallback } from '../bbs/core/task-callback.js';
import { EngineBench } from '../bbs/engine/testing.js';
import { Census } from './census.js';
import { ChangeCounters } from './change-counters.js';

let bench: EngineBench;
let registry: MetricsRegistry;
let census: Census;

beforeEach(async () => {
  const policy = { callbackRetentionMs: 60_000, deadLetterRetentionMs: 120_000, maxDeadLetters: 2 };
  bench = await EngineBench.open({ policy });
  registry = new MetricsRegistry();
  census = new Census(bench.engine.state);
  const counters = new ChangeCounters(registry);
  bench.engine.onDurable((commits) => {
    for (const { changes, timeMs } of commits) {
      for (const change of changes) {
        census.take(change);
        counters.take(change, { timeMs, policy: bench.engine.state.policy });
      }
    }
  });
});
afterEach(() => bench.close());

const run = (decide: typeof deleteTask | typeof resolveTask, guid: string) =>
  bench.engine.execute((draft) => decide(draft, guid));

async function pass(ms: number): Promise<void> {
  await bench.clock.advance(ms);
  for (const key of bench.engine.state.due.take(bench.engine.now(), 100)) {
    await bench.engine.execute((draft) => lookAtDue(draft, key, () => 0));
  }
}

async function deadLetters(...guids: string[]): Promise<void> {
  for (const guid of guids) {
    await bench.task(guid, { callbackUrl: 'http://127.0.0.1/' });
    await run(cancelTask, guid);
    await run(resolveTask, guid);
    await bench.engine.execute((draft) => postponeCallback(draft, guid, 'HTTP 500'));
  }
  expect(census.callbacksWaiting).toBe(guids.length);
  await pass(60_000);
}

function counted(name: string): Record<string, number> {
  const lines = registry
    .text()
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`));
  return Object.fromEntries(lines.map((line) => [line.match(/"(.*)"/)?.[1] ?? '', Number(line.split(' ').at(-1))]));
}

it('dead letters are counted while they are kept, and by what became of them', async () => {
  await deadLetters('a', 'b');
  expect([census.deadLetters, census.callbacksWaiting]).toEqual([2, 0]);
  await run(resolveTask, 'a');
  await run(deleteTask, 'a');
  await run(retryTaskCallback, 'b');
  expect([census.deadLetters, census.callbacksWaiting]).toEqual([0, 1]);
  await run(resolveTask, 'b');
  await run(deleteTask, 'b');
  await deadLetters('c', 'd', 'e');
  expect(census.deadLetters).toBe(2);
  await pass(120_000);
  expect(bench.engine.state.due.at(dueKey.task('e'))).toBeUndefined();
  expect(census.deadLetters).toBe(0);
  expect(counted('rivera_bbs_dead_letters_total')).toEqual({
    'given-up': 5,
    dismissed: 1,
    retried: 1,
    'crowded-out': 1,
    expired: 2,
  });
  expect(counted('rivera_bbs_callbacks_total')).toEqual({ failed: 5, delivered: 1 });
});
