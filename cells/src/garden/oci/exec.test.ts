import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { expect, it, vi } from 'vitest';
import type { Cell } from './cell.js';
import { ContainerCgroup } from './cgroup.js';
import { startExec } from './exec.js';
import type { ContainerPlaces } from './places.js';

it('a process whose files can’t be removed is a matter for the log, and not the end of the agent', async () => {
  const base = await mkdtemp(join(tmpdir(), 'rivera-exec-'));
  const unhandled = vi.fn();
  process.on('unhandledRejection', unhandled);
  try {
    await mkdir(join(base, 'execs'));
    // Leaves a folder in the place of its log, which `rm` refuses as it does any file of a read-only disk.
    await writeFile(join(base, 'runtime'), '#!/bin/sh\nmkdir "$4"; exit 1\n', { mode: 0o755 });
    const log = { ...silentLogger, warn: vi.fn() };
    const cell = {
      runtime: join(base, 'runtime'),
      places: { runtimeRoot: base },
      settings: { clock: systemClock, log, runtimeTimeoutMs: 10_000 },
    };
    const request = {
      cell: cell as unknown as Cell,
      places: { execs: join(base, 'execs'), handle: 'h' } as ContainerPlaces,
      cgroup: new ContainerCgroup('/nowhere'),
      spec: {},
    };
    await expect(startExec(request)).rejects.toMatchObject({ kind: 'process-failed' });
    await expect.poll(() => log.warn.mock.calls).toHaveLength(1);
    expect(unhandled).not.toHaveBeenCalled();
  } finally {
    process.off('unhandledRejection', unhandled);
    await rm(base, { recursive: true, force: true });
  }
});
