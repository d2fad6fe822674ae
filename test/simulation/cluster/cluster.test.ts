import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../../architecture/source.js';
import { Coverage, HAPPENINGS } from './coverage.js';
import { type PoolReport, runMany } from './pool.js';
import { failureText } from './report.js';
import { Transcript } from './transcript.js';

const SHORT = { from: 1, seeds: 10_000, steps: 10 };
const LONG = { from: 1_000_000, seeds: 6, steps: 2_500 };
/** Ten times what it takes on a quiet machine. */
const PATIENCE_MS = 900_000;

const run = (of: { from: number; seeds: number; steps: number }) =>
  runMany({ ...of, processes: Math.min(2, availableParallelism()) });

/** What a failed run has to say. */
const failuresOf = ({ failed }: PoolReport, steps: number) => failed.map((report) => failureText(report, steps));

describe('a simulated cluster', () => {
  it(
    `keeps its promises in ${SHORT.seeds} short histories, in which every kind of fault happens`,
    async () => {
      const report = await run(SHORT);
      expect(failuresOf(report, SHORT.steps)).toEqual([]);
      expect(report.coverage.histories).toBe(SHORT.seeds);
      expect(report.coverage.missing()).toEqual([]);
    },
    PATIENCE_MS,
  );

  it(
    `keeps its promises in long histories of ${LONG.steps} steps`,
    async () => {
      const report = await run(LONG);
      expect(failuresOf(report, LONG.steps)).toEqual([]);
      expect(report.coverage.commands).toBeGreaterThan(LONG.seeds * 1_000);
    },
    PATIENCE_MS,
  );

  it(
    'has one history for one seed, in whatever process and after whatever others',
    async () => {
      const few = { from: 77, seeds: 40, steps: 40 };
      const [one, other] = [await run(few), await runMany({ ...few, processes: 1 })];
      expect(one.digests.size).toBe(few.seeds);
      expect(new Map([...one.digests].sort(([a], [b]) => a - b))).toEqual(other.digests);
      expect(new Set(one.digests.values()).size).toBe(few.seeds);
    },
    PATIENCE_MS,
  );
});

describe('npm run simulate', () => {
  const simulate = (...args: string[]) =>
    promisify(execFile)(
      process.execPath,
      ['--conditions=source', '--import', 'tsx', join(ROOT, 'test/simulation/cluster/main.ts'), ...args],
      { cwd: ROOT },
    );

  it('says what happened how often', async () => {
    const { stdout } = await simulate('--seeds', '3', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ seeds: 3, histories: 3, violations: [] });
    expect((await simulate('--from', '5', '--seeds', '1', '--verbose')).stdout).toMatch(
      /leads with epoch 1\n.*\nheld;/s,
    );
  });

  it('exits with 3 when it is called wrongly, and says how to call it', async () => {
    await expect(simulate('--seeds', 'many')).rejects.toMatchObject({
      code: 3,
      stderr: expect.stringContaining('usage: npm run simulate'),
    });
    expect((await simulate('--help')).stdout).toContain('examples');
  });
});

describe('what a failure says', () => {
  it('is the seed, the step, what is broken, the last lines, and the command that shows it again', () => {
    const violation = { what: 'task t1 runs twice', step: 7, transcript: ['    1.000  cell-a runs e1 for t1'] };
    const text = failureText({ seed: 4711, digest: '', figures: new Coverage(), violation }, 12);
    expect(text).toContain('1.000  cell-a runs e1 for t1');
    expect(text).toContain('seed 4711 breaks an invariant after step 7 of 12:\n  task t1 runs twice');
    expect(text).toContain('npm run simulate -- --from 4711 --seeds 1 --steps 12 --verbose');
  });

  it('has the latest lines of the transcript, and all of them count for its hash', () => {
    const written = (lines: number) => {
      const transcript = new Transcript(3, () => 1_500, undefined);
      for (let i = 0; i < lines; i++) transcript.add(`line ${i}`);
      return { last: transcript.last(), digest: transcript.digest() };
    };
    expect(written(10).last).toEqual(['    1.500  line 7', '    1.500  line 8', '    1.500  line 9']);
    expect(written(10).digest).toBe(written(10).digest);
    expect(written(10).digest).not.toBe(written(11).digest);
  });

  it('tells what never happened', () => {
    const coverage = new Coverage();
    coverage.note('database away');
    expect(coverage.missing()).toHaveLength(HAPPENINGS.length - 1);
    expect(coverage.missing()).not.toContain('database away');
  });
});
