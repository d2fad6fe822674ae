import { mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Recordings } from './recordings.js';

let folder: string;
let now = 0;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rivera-recordings-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const recordings = (maxBytes: number, log = silentLogger) =>
  new Recordings({ folder, maxBytes, steadyNow: () => now, log });
const facts = (id: string) => ({ id, columns: 80, rows: 24, term: 'xterm', title: id });
const unexpected = (error: Error) => {
  throw error;
};

/** One of an earlier day. */
function old(name: string, bytes: number, daysAgo: number): void {
  writeFileSync(join(folder, name), Buffer.alloc(bytes));
  const then = Date.now() / 1000 - daysAgo * 86_400;
  utimesSync(join(folder, name), then, then);
}

it('are for their owner alone, and end on the disk', async () => {
  const recording = recordings(0).begin(facts('one'), unexpected);
  recording.output(Buffer.from('hello'));
  await recording.close();
  await recording.close();
  expect(statSync(join(folder, 'one.cast')).mode & 0o777).toBe(0o600);
  expect(await readdir(folder)).toEqual(['one.cast']);
});

it('go when there is too much of them, the oldest first, and none that is being made', async () => {
  old('a.cast', 600, 3);
  old('b.cast', 600, 2);
  old('c.cast', 600, 1);
  old('notes', 5_000, 9);
  const all = recordings(1_500);
  const lasting = all.begin(facts('lasting'), unexpected);
  lasting.output(Buffer.alloc(5_000, 'x'));
  await all.begin(facts('short'), unexpected).close();
  await expect.poll(() => readdir(folder)).not.toContain('a.cast');
  expect((await readdir(folder)).sort()).toEqual(['b.cast', 'c.cast', 'lasting.cast', 'notes', 'short.cast']);

  // Not at each end of a session.
  old('d.cast', 5_000, 4);
  await all.begin(facts('soon'), unexpected).close();
  now += 60_000;
  await all.begin(facts('later'), unexpected).close();
  await expect.poll(() => readdir(folder)).not.toContain('d.cast');
  expect(await readdir(folder)).toContain('lasting.cast');
  await lasting.close();
});

it('stay where they can’t be looked at, which the log tells', async () => {
  const warn = vi.fn();
  const recording = recordings(1, { ...silentLogger, warn }).begin(facts('gone'), unexpected);
  recording.output(Buffer.from('x'));
  await expect.poll(() => readdir(folder)).toHaveLength(1);
  rmSync(folder, { recursive: true });
  await recording.close();
  await expect.poll(() => warn.mock.calls.map(([, text]) => text)).toEqual(['old recordings could not be removed']);
});
