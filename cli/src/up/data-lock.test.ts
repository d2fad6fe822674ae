import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CliError, EXIT } from '../failures.js';
import { DataLock } from './data-lock.js';
import { endLeftovers } from './leftovers.js';
import { identify } from './process-identity.js';

let folder: string;
let processes: ChildProcess[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rivera-lock-'));
  processes = [];
});
afterEach(() => {
  for (const child of processes) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

describe('the lock on a data folder', () => {
  it('is held by one at a time, and the other learns by whom', async () => {
    const lock = await DataLock.acquire(folder);
    const refused = await DataLock.acquire(folder).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(CliError);
    expect(refused).toMatchObject({
      exitCode: EXIT.local,
      message: `Rivera already runs on ${folder} (pid ${process.pid})`,
    });
    await lock.release();
    await (await DataLock.acquire(folder)).release();
    expect(existsSync(join(folder, 'up.pid'))).toBe(false);
  });

  it('makes the folder, for its owner alone', async () => {
    const lock = await DataLock.acquire(join(folder, 'a/b'));
    expect(existsSync(join(folder, 'a/b'))).toBe(true);
    await lock.release();
  });

  it('does not outlive its holder: a pid file alone locks nothing', async () => {
    writeFileSync(join(folder, 'up.pid'), `${process.pid}\n`);
    await (await DataLock.acquire(folder)).release();
  });
});

describe('what an earlier start left running', () => {
  function leftover(name: string, script: string): ChildProcess {
    const child = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    processes.push(child);
    mkdirSync(join(folder, 'run'), { recursive: true });
    writeFileSync(join(folder, 'run', `${name}.pid`), JSON.stringify(identify(child.pid ?? 0)));
    return child;
  }

  it('is ended: servers politely, cells at once, so that their containers live on', async () => {
    const polite = 'trap "exit 7" TERM; echo up; while :; do sleep 0.01; done';
    const server = leftover('server', polite);
    const cell = leftover('cell-1', polite);
    await Promise.all([server, cell].map((child) => once(child.stdout as NodeJS.ReadableStream, 'data')));
    const exits = Promise.all([once(server, 'exit'), once(cell, 'exit')]);
    expect((await endLeftovers(join(folder, 'run'))).sort()).toEqual(['cell-1', 'server']);
    expect(await exits).toEqual([
      [7, null],
      [null, 'SIGKILL'],
    ]);
    expect(await endLeftovers(join(folder, 'run'))).toEqual([]);
  });

  it('is not confused with a later process of the same number', async () => {
    const other = leftover('server', 'exec sleep 1000');
    writeFileSync(join(folder, 'run/server.pid'), JSON.stringify({ pid: other.pid, startTime: '1' }));
    expect(await endLeftovers(join(folder, 'run'))).toEqual([]);
    expect(identify(other.pid ?? 0)).toBeDefined();
  });
});
