import { afterEach, describe, expect, it } from 'vitest';
import { MemoryRecordStore } from '../store/memory-record-store.js';
import { MortalStore } from '../store/mortal-store.js';
import { TestCell } from '../testing.js';
import { prepare, SCENARIOS, type Scenario } from './scenarios.js';

/** More than any scenario takes, and the steps in which time goes by. */
const LONG_MS = 120_000;
const STEP_MS = 50;

let cell: TestCell;
afterEach(() => cell.close());

async function start(scenario: Scenario): Promise<void> {
  await cell.run('c', scenario.recipe);
}

/** Lets time go by until the container has ended; `each` is called at every step. Whoever wants it stopped asks until that is acknowledged. */
async function untilEnd(
  scenario: Scenario,
  each: (elapsedMs: number) => Promise<void> = async () => {},
): Promise<void> {
  let asked: unknown;
  let acknowledged = false;
  for (let elapsed = 0; elapsed <= LONG_MS; elapsed += STEP_MS) {
    await each(elapsed);
    const due = scenario.stopAfterMs !== undefined && elapsed >= scenario.stopAfterMs;
    if (due && !acknowledged && asked !== cell.executor && cell.executor.get('c')) {
      asked = cell.executor;
      void cell.executor.stop('c').then(() => {
        acknowledged = true;
      });
    }
    if (cell.executor.get('c')?.state === 'completed') return;
    await cell.clock.advance(STEP_MS);
  }
}

describe.each(SCENARIOS)('$name', (scenario) => {
  it('ends as it should', async () => {
    cell = await TestCell.open({}, (fresh) => prepare(fresh, scenario));
    await start(scenario);
    await untilEnd(scenario);
    expect(await cell.ends('c')).toBe(scenario.outcome);
    expect(cell.processes('c').sort()).toEqual(scenario.processes);
  });

  it('ends the same when the agent is restarted at any time', async () => {
    for (const restartMs of [0, 100, 150, 250, 350, 600, 20_100, 50_000]) {
      cell = await TestCell.open({}, (fresh) => prepare(fresh, scenario));
      await start(scenario);
      await cell.clock.advance(0);
      await untilEnd(scenario, async (elapsed) => {
        if (elapsed === restartMs) await cell.restart();
      });
      expect(await cell.ends('c'), `restarted after ${restartMs} ms`).toBe(scenario.outcome);
      expect(cell.processes('c').sort()).toEqual(scenario.processes);
      await cell.close();
    }
  });

  it('ends the same when the agent is killed at any write', async () => {
    for (const writeIsKept of [false, true]) {
      for (let atWrite = 0; ; atWrite++) {
        const disk = new MemoryRecordStore();
        const mortal = new MortalStore(disk, { atWrite, writeIsKept });
        cell = await TestCell.open({}, (fresh) => {
          prepare(fresh, scenario);
          fresh.store = mortal;
        });
        await Promise.race([start(scenario), mortal.died]);
        let restarted = false;
        await untilEnd(scenario, async () => {
          if (!mortal.dead || restarted) return;
          restarted = true;
          cell.store = disk;
          await cell.restart();
          // What wasn't acknowledged may be unknown; then whoever wanted it asks again.
          if (cell.executor.get('c') === undefined) await start(scenario);
          else if (cell.executor.get('c')?.state === 'reserved')
            await cell.executor.delete('c').then(() => start(scenario));
        });
        const outcome = await cell.ends('c');
        const processes = cell.processes('c').sort();
        await cell.close();
        const when = `killed ${writeIsKept ? 'after' : 'before'} write ${atWrite}`;
        if (outcome.includes('before the container was made')) {
          expect(processes, when).toEqual([]);
          expect(outcome, when).toContain('failed, retryable');
        } else {
          expect(outcome, when).toBe(scenario.outcome);
          expect(processes, when).toEqual(scenario.processes);
        }
        if (!restarted) break;
      }
    }
  });
});

describe('log lines', () => {
  it('show output, progress and exits under their sources', async () => {
    const scenario = SCENARIOS.find(({ name }) => name === 'progress lines') as Scenario;
    cell = await TestCell.open();
    await start(scenario);
    await untilEnd(scenario);
    expect((await cell.lines()).filter((line) => !line.startsWith('CELL'))).toEqual([
      'STG out starting',
      'APP out Exit status 0',
      'STG out it went well',
      'APP out Exit status 6',
      'STG err it went wrong: APP: Exited with status 6',
    ]);
  });
});
