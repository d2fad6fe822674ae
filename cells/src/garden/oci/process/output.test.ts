import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Gate } from '../../gate.js';
import { followLog } from './output.js';

let dir: string;
let path: string;
const line = (data: string) => `2026-11-20T22:54:25.666896535+00:00 stdout F ${data}\n`;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rivera-output-'));
  path = join(dir, 'log');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

it('reads on when the file is replaced, without losing the end of the old one', async () => {
  const gate = new Gate();
  let over = false;
  await writeFile(path, line('1'));
  const log = followLog({ path, isOver: () => over, change: () => gate.next() });
  const next = async () => (await log.next()).value?.data.toString() as string | undefined;
  expect(await next()).toBe('1');
  await appendFile(path, line('2'));
  await writeFile(`${path}.tmp`, line('3'));
  await rename(`${path}.tmp`, path);
  gate.open();
  expect(await next()).toBe('2');
  expect(await next()).toBe('3');
  const last = next();
  await appendFile(path, line('4'));
  over = true;
  gate.open();
  expect(await last).toBe('4');
  expect((await log.next()).done).toBe(true);
});

it('waits for a file that is not there yet, and ends when it is aborted', async () => {
  const gate = new Gate();
  const abort = new AbortController();
  const log = followLog({ path, isOver: () => false, change: () => gate.next(abort.signal), signal: abort.signal });
  const first = log.next();
  await writeFile(path, line('late'));
  gate.open();
  expect((await first).value?.data.toString()).toBe('late');
  const second = log.next();
  abort.abort();
  expect((await second).done).toBe(true);
});
