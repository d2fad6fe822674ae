import { createHash } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { collectOutput, plainProcess, plainSpec } from '../contract.js';
import type { GardenContainer, ProcessSpec } from '../garden.js';
import type { OciGarden } from './oci-garden.js';
import { hardLimit, parseLimits, rlimitsOf } from './process/rlimits.js';
import { type ScratchCell, scratchCell } from './scratch-cell.js';

let cell: ScratchCell;
let garden: OciGarden;
let container: GardenContainer;

beforeAll(async () => {
  cell = await scratchCell();
  garden = await cell.open();
  const limits = { memoryBytes: 16 * 1024 * 1024, diskBytes: 0, pids: 0, cpuShares: 0 };
  container = await garden.create(plainSpec('c', cell.rootFs, { limits }));
});
afterEach(async () => {
  expect(garden.list()).toHaveLength(1);
});
afterAll(async () => {
  await garden?.destroy('c');
  expect(await cell?.leaks()).toEqual([]);
  await garden?.close();
  await cell?.remove();
});

let ran = 0;
const sh = (script: string, more: Partial<ProcessSpec> = {}) =>
  container.run(plainProcess(`p${++ran}`, { path: '/bin/sh', args: ['-c', script] }, more));

it('gives processes the limits that they ask for, soft and hard alike', async () => {
  const rlimits = { nofile: 77, core: 0, cpu: 5, stack: 1024 * 1024, fsize: 4096 };
  const process = await sh('cat /proc/self/limits', { rlimits });
  const table = (await collectOutput(process)).map((line) => line.replace('stdout: ', '')).join('\n');
  expect(parseLimits(table)).toMatchObject(rlimits);
  expect(table).toMatch(/^Max open files +77 +77 /m);
});

it.each([
  [{ nofile: hardLimit('nofile') + 1 }, 'rlimit nofile'],
  [{ cpu: -1 }, 'rlimit cpu: -1 is not a whole number'],
  [{ core: 0.5 }, 'rlimit core: 0.5 is not a whole number'],
])('refuses limits %j with a reason', async (rlimits, message) => {
  expect(() => rlimitsOf(rlimits)).toThrow(message);
  await expect(sh('true', { rlimits })).rejects.toMatchObject({ kind: 'process-failed' });
});

it('takes any signal', async () => {
  const process = await sh('trap "echo usr1" USR1; trap "exit 9" WINCH; echo ready; while :; do sleep 0.05; done');
  const lines: string[] = [];
  for await (const { stream, data } of process.output()) {
    // What the shell waits with gets the signal as well, and the shell says so.
    if (stream === 'stderr') continue;
    lines.push(data.toString());
    if (lines.at(-1) === 'ready') await process.signal('SIGUSR1');
    if (lines.at(-1) === 'usr1') await process.signal('SIGWINCH');
  }
  expect(lines).toEqual(['ready', 'usr1']);
  expect((await process.wait()).code).toBe(9);
});

it('gives a terminal to the user that it runs as, and ends input with Ctrl-D', async () => {
  const terminal = { term: 'vt100', columns: 100, rows: 40 };
  const process = await sh('stty size; echo $TERM $(id -un); tty; cat >/dev/null; echo over', {
    terminal,
    user: 'vcap',
  });
  await process.closeStdin();
  const text = (await collectOutput(process)).join('\n');
  expect(text).toContain('stdout: 40 100');
  expect(text).toContain('vt100 vcap');
  expect(text).toContain('/dev/pts/');
  expect(text).toContain('over');
});

it('passes input on byte by byte, however much there is and however slowly it is read', async () => {
  const process = await sh('sleep 0.2; md5sum; echo over >&2', { stdin: true });
  const piece = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index % 251));
  const sum = createHash('md5');
  for (let piecesLeft = 40; piecesLeft > 0; piecesLeft--) {
    sum.update(piece);
    await process.write(piece);
  }
  await process.closeStdin();
  expect((await collectOutput(process)).sort()).toEqual(['stderr: over', `stdout: ${sum.digest('hex')}  -`]);
});

it('lets those go who wait for a process that does not read', async () => {
  const process = await sh('exec sleep 1000', { stdin: true });
  const much = Buffer.alloc(1024 * 1024);
  for (let client = 0; client < 5; client++) {
    const leaving = new AbortController();
    const writing = process.write(much, leaving.signal);
    setTimeout(() => leaving.abort(new Error('gone')), 20);
    await expect(writing).rejects.toThrow('gone');
  }
  await process.signal('SIGKILL');
  await process.wait();
  await process.write(much);
});

it('tells each time that the kernel ended something for want of memory', async () => {
  expect((await container.status()).events).toEqual([]);
  const process = await sh('x=$(dd if=/dev/zero bs=1M count=64 2>/dev/null | tr "\\0" x); echo "$x" | wc -c');
  expect(await process.wait()).toMatchObject({ outOfMemory: true });
  const { events, state } = await container.status();
  expect(events.length).toBeGreaterThan(0);
  expect(new Set(events)).toEqual(new Set(['Out of memory']));
  expect(state).toBe('active');
});

it('has no limit lowered below what is in use, and tells so', async () => {
  const before = await container.limits();
  await expect(container.setLimits({ memoryBytes: 4096 })).rejects.toMatchObject({ kind: 'limit-failed' });
  expect(await container.limits()).toEqual(before);
  expect(container.spec.limits).toEqual(before);
});

it('tells people all that a process says on their terminal, and how it ended', async () => {
  const terminal = { term: 'xterm', columns: 80, rows: 24 };
  for (let i = 0; i < 5; i++) {
    const args = ['-c', 'stty size; echo last; exit 7'];
    const person = await container.exec({ path: '/bin/sh', args, env: {}, dir: '', user: 'root', terminal });
    expect((await text(person.stdout)).replaceAll('\r', '')).toBe('24 80\nlast\n');
    expect((await person.wait()).code).toBe(7);
  }
});

it('signals the children of a process with it, and lets it signal them', async () => {
  const group = await sh(
    'trap : TERM; (trap "echo child; exit" TERM; echo up; while :; do sleep 0.02; done) & wait; wait',
  );
  const lines: string[] = [];
  for await (const { data } of group.output()) {
    lines.push(...String(data).trim().split('\n'));
    if (lines.at(-1) === 'up') await group.signal('SIGTERM');
  }
  expect(lines).toContain('child');
  expect(await (await sh('sleep 1000 & trap : TERM; kill 0; wait; echo over')).wait()).toMatchObject({ code: 0 });
});

it('kills what a process has left in its session, after it is gone', async () => {
  const process = await sh('sleep 1000 & exec sleep 1000');
  await expect.poll(async () => (await container.metrics()).pids).toBe(3);
  await process.signal('SIGKILL');
  await expect.poll(async () => (await container.metrics()).pids).toBe(1);
});
