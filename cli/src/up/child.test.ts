import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { afterDeath } from './backoff.js';
import { Child, type ChildEvent } from './child.js';
import { boundLog, tailOf } from './log-file.js';
import { identify, isAlive } from './process-identity.js';

let folder: string;
let children: Child[];
let events: ChildEvent[];
let waiting: { kind: ChildEvent['kind']; times: number; resolve: () => void }[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rivera-child-'));
  children = [];
  events = [];
  waiting = [];
});
afterEach(async () => {
  await Promise.all(children.map((child) => child.stop(AbortSignal.abort())));
  rmSync(folder, { recursive: true, force: true });
});

function onEvent(event: ChildEvent): void {
  events.push(event);
  for (const wait of waiting) if (seen(wait.kind) >= wait.times) wait.resolve();
}

const seen = (kind: ChildEvent['kind']) => events.filter((event) => event.kind === kind).length;

/** Resolves when there have been so many events of a kind. */
function happened(kind: ChildEvent['kind'], times: number): Promise<void> {
  return new Promise((resolve) => {
    if (seen(kind) >= times) resolve();
    else waiting.push({ kind, times, resolve });
  });
}

function child(script: string, stopGraceMs = 5_000): Child {
  const it = new Child(
    {
      name: 'fake',
      command: '/bin/sh',
      args: ['-c', script],
      env: { PATH: process.env.PATH },
      logFile: join(folder, 'fake.log'),
      pidFile: join(folder, 'fake.pid'),
      stopGraceMs,
    },
    onEvent,
    { firstMs: 5, longestMs: 20, healthyAfterMs: 60_000 },
  );
  children.push(it);
  return it;
}

/** Waits for a line in the log, which the fake writes when it has got so far. */
async function logged(text: string): Promise<void> {
  while (!tailOf(join(folder, 'fake.log'), 100).includes(text)) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('back-off', () => {
  const policy = { firstMs: 200, longestMs: 1000, healthyAfterMs: 30_000 };

  it('doubles up to a bound', () => {
    const waits: number[] = [];
    for (let deaths = 0; deaths < 5; ) {
      const next = afterDeath(deaths, 10, policy);
      waits.push(next.waitMs);
      deaths = next.deaths;
    }
    expect(waits).toEqual([200, 400, 800, 1000, 1000]);
  });

  it('starts again after a healthy run', () => {
    expect(afterDeath(5, 30_000, policy)).toEqual({ deaths: 1, waitMs: 200 });
  });
});

describe('a supervised child', () => {
  it('is started again when it dies, and the deaths are told', async () => {
    const it = child('echo here; exit 3');
    it.start();
    await happened('died', 3);
    await it.stop();
    const died = events.filter((event) => event.kind === 'died');
    expect(died.slice(0, 3)).toMatchObject([
      { how: 'exit code 3', restartInMs: 5, deaths: 1 },
      { how: 'exit code 3', restartInMs: 10, deaths: 2 },
      { how: 'exit code 3', restartInMs: 20, deaths: 3 },
    ]);
    expect(readFileSync(join(folder, 'fake.log'), 'utf8')).toMatch(/^here\nhere\nhere\n/);
  });

  it('is started again when it is killed', async () => {
    const it = child('echo up; exec sleep 1000');
    it.start();
    const first = it.pid ?? 0;
    process.kill(first, 'SIGKILL');
    await happened('started', 2);
    expect(events[1]).toMatchObject({ kind: 'died', how: 'SIGKILL' });
    expect(it.pid).not.toBe(first);
  });

  it('is asked to end, and not started again', async () => {
    const it = child('trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.01; done');
    it.start();
    const pid = it.pid ?? 0;
    await logged('up');
    await it.stop();
    expect(identify(pid)).toBeUndefined();
    expect(tailOf(join(folder, 'fake.log'), 1)).toEqual(['bye']);
    expect(events.map((event) => event.kind)).toEqual(['started']);
  });

  it('that does not end in time is killed', async () => {
    const it = child('trap "" TERM; echo up; while :; do sleep 0.01; done', 50);
    it.start();
    await logged('up');
    await it.stop();
    expect(events.map((event) => event.kind)).toEqual(['started', 'killed']);
  });

  it('is killed at once when the stop is forced', async () => {
    const it = child('trap "" TERM; echo up; while :; do sleep 0.01; done', 60_000);
    it.start();
    await logged('up');
    const forced = new AbortController();
    const stopped = it.stop(forced.signal);
    forced.abort();
    await stopped;
    expect(events.at(-1)?.kind).toBe('killed');
  });

  it('has a process group of its own and says who it is', async () => {
    const it = child('exec sleep 1000');
    it.start();
    const stat = readFileSync(`/proc/${it.pid}/stat`, 'utf8');
    expect(Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2])).toBe(it.pid);
    const identity = JSON.parse(readFileSync(join(folder, 'fake.pid'), 'utf8'));
    expect(isAlive(identity)).toBe(true);
    await it.stop();
    expect(isAlive(identity)).toBe(false);
  });

  it('whose program is missing is tried again as well', async () => {
    const it = new Child({ ...child('true').spec, command: join(folder, 'missing') }, onEvent, {
      firstMs: 5,
      longestMs: 5,
      healthyAfterMs: 60_000,
    });
    children.push(it);
    it.start();
    await happened('died', 2);
    expect(events[0]).toMatchObject({ kind: 'died', how: expect.stringContaining('ENOENT') });
  });
});

describe('a log file', () => {
  it('that has grown too large moves aside while its writer goes on', () => {
    const file = join(folder, 'x.log');
    writeFileSync(file, 'a'.repeat(100));
    boundLog(file, 100);
    expect(readFileSync(file, 'utf8')).toHaveLength(100);
    boundLog(file, 99);
    expect(readFileSync(file, 'utf8')).toBe('');
    expect(readFileSync(`${file}.1`, 'utf8')).toHaveLength(100);
  });

  it('shows its end', () => {
    const file = join(folder, 'x.log');
    writeFileSync(file, 'one\ntwo\nthree\n');
    expect(tailOf(file, 2)).toEqual(['two', 'three']);
    expect(tailOf(file, 5, 'one\n'.length)).toEqual(['two', 'three']);
    expect(tailOf(file, 5, 1_000)).toEqual([]);
    expect(tailOf(join(folder, 'none'), 2)).toEqual([]);
  });
});
