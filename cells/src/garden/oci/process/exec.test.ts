import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { send } from '../../../kernel/send.js';
import type { TerminalSpec } from '../../garden.js';
import type { Cell } from '../cell.js';
import { ContainerCgroup } from '../cgroups/cgroup.js';
import type { ContainerPlaces } from '../places.js';
import { startExec } from './exec.js';

let base: string;
const warn = vi.fn();

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'rivera-exec-'));
  await mkdir(join(base, 'execs'));
  warn.mockReset();
});
afterEach(() => rm(base, { recursive: true, force: true }));

/** Runs a process in a container whose runtime is some other program. */
function start(runtime: string, terminal?: TerminalSpec) {
  const cell = {
    places: { runtimeRoot: base },
    settings: { clock: systemClock, log: { ...silentLogger, warn }, runtimeTimeoutMs: 10_000 },
  };
  return startExec({
    cell: cell as unknown as Cell,
    runtime: { name: 'runc', path: runtime },
    places: { execs: join(base, 'execs'), handle: 'h' } as ContainerPlaces,
    cgroup: new ContainerCgroup('/nowhere'),
    spec: {},
    ...(terminal ? { terminal } : {}),
  });
}

it('a process whose files can’t be removed is a matter for the log, and not the end of the agent', async () => {
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);
  try {
    // Leaves a folder in the place of its log, which `rm` refuses as it does any file of a read-only disk.
    await writeFile(join(base, 'runtime'), '#!/bin/sh\nmkdir "$4"; exit 1\n', { mode: 0o755 });
    await expect(start(join(base, 'runtime'))).rejects.toMatchObject({ kind: 'process-failed' });
    await expect.poll(() => warn.mock.calls).toHaveLength(1);
    expect(unhandled).not.toHaveBeenCalled();
  } finally {
    process.off('unhandledRejection', unhandled);
  }
});

it('a runtime that can’t be started at all, as on a machine without free processes, ends nobody else', async () => {
  const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
  try {
    await expect(start('/nowhere/runtime')).rejects.toMatchObject({
      kind: 'process-failed',
      message: 'the runtime could not be started: spawn /nowhere/runtime ENOENT',
    });
    expect(await readdir(join(base, 'execs'))).toEqual([]);
    expect(kill).not.toHaveBeenCalled();
    expect(() => send(0, 'SIGKILL')).toThrow('a signal to 0');
  } finally {
    kill.mockRestore();
  }
});

it.each([
  ['with a terminal', { term: 'xterm', columns: 80, rows: 24 }],
  ['with pipes', undefined],
])('a process %s whose runtime is killed has not ended well', async (_, terminal) => {
  await writeFile(join(base, 'runtime'), '#!/bin/sh\necho $$ > "$9"; kill -KILL $$\n', { mode: 0o755 });
  const { stdout, stderr, wait } = await start(join(base, 'runtime'), terminal);
  for (const stream of [stdout, stderr]) stream.resume();
  expect(await wait()).toEqual({ code: 128, signal: 'SIGKILL' });
});
