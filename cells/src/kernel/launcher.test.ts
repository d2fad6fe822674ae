import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, it } from 'vitest';
import { type LaunchRequest, launch, restLauncher } from './launcher.js';
import { isAlive } from './proc.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rivera-launcher-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));
afterAll(() => restLauncher());

const sh = (script: string, more: Partial<LaunchRequest> = {}) =>
  launch(
    { argv: ['sh', '-c', script], env: process.env, discardOutput: false, timeoutMs: 60_000, ...more },
    process.env,
  );

it('tells what a program said and how it ended, as the program itself would', async () => {
  expect(await sh('cat; echo bad >&2; exit 3', { input: 'päper\n' })).toEqual({
    code: 3,
    signal: undefined,
    stdout: 'päper\n',
    stderr: 'bad\n',
  });
  expect(await sh('kill -9 $$')).toMatchObject({ code: undefined, signal: 'SIGKILL' });
  expect(await sh('pwd; echo "$A"', { cwd: '/usr', env: { PATH: '/bin', A: 'a=b\nc' } })).toMatchObject({
    stdout: '/usr\na=b\nc\n',
  });
  expect(await sh('exit 0', { argv: ['no-such-program'] })).toMatchObject({
    code: 127,
    stderr: expect.stringContaining('No such file'),
  });
  expect(await sh('exit 0', { cwd: '/no/such' })).toMatchObject({
    code: 127,
    stderr: expect.stringContaining('/no/such: No such'),
  });
});

it('has nobody wait for another, and mixes nothing up', async () => {
  const slow = sh('exec sleep 654', { timeoutMs: 1500 });
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, n) => sh(`head -c ${n * 5000} /dev/zero | tr '\\0' ${n % 10}`)),
  );
  for (const [n, { stdout }] of answers.entries()) expect(stdout).toBe(String(n % 10).repeat(n * 5000));
  expect(await slow).toMatchObject({ signal: 'SIGKILL' });
});

it('ends a program and its family when its time is over, whoever holds its output', async () => {
  const report = join(folder, 'report');
  const { signal } = await sh('sleep 654 3>&- & echo $! >&3; setsid sleep 654 3>&- & echo $! >&3; wait', {
    report,
    timeoutMs: 700,
  });
  const [inside, outside] = (await readFile(report, 'utf8')).split('\n').map(Number) as [number, number];
  process.kill(outside, 'SIGKILL');
  expect(signal).toBe('SIGKILL');
  await expect.poll(() => isAlive(inside), { timeout: 30_000 }).toBe(false);
});

it('takes as much input as there is, also when nobody reads it', async () => {
  const input = 'x'.repeat(3_000_000);
  expect((await sh('wc -c', { input })).stdout.trim()).toBe('3000000');
  expect(await sh('exit 4', { input })).toMatchObject({ code: 4 });
});

it('gives a report as the third descriptor, and waits for no child when output is thrown away', async () => {
  const report = join(folder, 'report');
  const { code } = await sh('echo told >&3; sleep 654 3>&- & echo $! >&3', { discardOutput: true, report });
  const [told, pid] = (await readFile(report, 'utf8')).split('\n');
  process.kill(Number(pid), 'SIGKILL');
  expect([code, told]).toEqual([0, 'told']);
});

it('is started again when it was killed, and what it had begun is told all the same', async () => {
  const launcher = async () => Number((await sh('ps -o ppid= -p $PPID')).stdout);
  const before = await launcher();
  const report = join(folder, 'report');
  const begun = sh('echo begun >&3; until [ -e go ]; do sleep 0.02; done; exit 5', { cwd: folder, report });
  await expect.poll(() => readFile(report, 'utf8').catch(() => ''), { timeout: 30_000 }).toBe('begun\n');
  process.kill(before, 'SIGKILL');
  const lost = sh('exit 0');
  await writeFile(join(folder, 'go'), '');
  expect(await begun).toMatchObject({ code: 5 });
  // Asked for before anybody knew of the death, or after it: told in either case.
  expect([0, 128]).toContain((await lost).code);
  expect(await launcher()).not.toBe(before);
  await restLauncher();
  expect(execFileSync('ps', ['-o', 'args=', '--ppid', String(process.pid)], { encoding: 'utf8' })).not.toContain(
    'perl',
  );
});

it('says so when the machine has nothing left to start it with, and is started when it has', async () => {
  await restLauncher();
  const limit = (soft: string) => execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${soft}:`]);
  const before = execFileSync('prlimit', ['--pid', String(process.pid), '--nofile', '-o', 'SOFT', '--noheadings']);
  // Each takes the lowest number that is free, so none is below the last.
  const held = Array.from({ length: 64 }, () => openSync('/dev/null', 'r'));
  // What the command that sets the limit needs itself.
  const spare = held.splice(-16);
  for (const fd of spare) closeSync(fd);
  limit(String(Math.max(...held) + 1));
  try {
    expect(await sh('exit 0')).toMatchObject({ code: 126, stderr: expect.stringContaining('file descriptor') });
  } finally {
    for (const fd of held) closeSync(fd);
    limit(before.toString().trim());
  }
  expect(await sh('exit 3')).toMatchObject({ code: 3 });
});

it('hides a mount from the programs that are not to see it, and from no others', async () => {
  const place = await mkdtemp(join(tmpdir(), 'launcher-'));
  execFileSync('mount', ['-t', 'tmpfs', 'hidden', place]);
  try {
    await writeFile(join(place, 'here'), '');
    const [hidden, seen] = await Promise.all([sh(`ls ${place}`, { hidden: [place] }), sh(`ls ${place}`)]);
    expect([hidden.stdout, hidden.code, seen.stdout]).toEqual(['', 0, 'here\n']);
    expect(await readFile(join(place, 'here'), 'utf8')).toBe('');
    // Better not at all than with it in sight.
    const missed = await sh('echo ran', { hidden: [join(place, 'here')] });
    expect([missed.code, missed.stdout]).toEqual([127, '']);
  } finally {
    execFileSync('umount', [place]);
    await rm(place, { recursive: true });
  }
});

it('gives programs a /dev/null that they can use and not change', async () => {
  const { stdout } = await sh('exec 2>&1; cat <&0; echo unheard >&0; chown 65534 /proc/self/fd/0 || echo kept');
  expect(stdout).toContain('kept');
  expect(stdout).not.toContain('unheard');
});
