import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ContainerCgroup } from '../cgroups/cgroup.js';
import type { ContainerPlaces } from '../places.js';
import { OciProcess } from './process.js';
import { processPlaces } from './supervisor.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rivera-process-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('is given up on time when its supervisor says nothing, and not when somebody happens to look again', async () => {
  const clock = new ManualClock();
  const container = {
    dir: folder,
    processes: join(folder, 'processes'),
    ends: join(folder, 'ends'),
    handle: 'h',
  } as ContainerPlaces;
  const places = processPlaces(container, 'p');
  for (const dir of [places.dir, places.exitDir]) await mkdir(dir, { recursive: true });
  const follower = new OciProcess({
    id: 'p',
    uuid: 'nobody-has-it',
    places,
    launchedIn: { container, cgroup: new ContainerCgroup('/rivera-no-such-group'), init: 1, clock },
    oomKills: async () => 0,
    log: silentLogger,
    launchedAtMs: clock.now(),
    startTimeoutMs: 700,
    use: () => () => undefined,
  });
  const started = follower.started(700);
  // It has looked once, and waits: nothing is being read any more.
  await expect.poll(() => reads()).toEqual([]);
  await clock.advance(700);
  await expect(started).resolves.toEqual({ failure: 'no word from the supervisor within 700 ms' });
  await follower.close();
});

/** What this program is asking of the file system. */
function reads(): string[] {
  return process.getActiveResourcesInfo().filter((name) => name.startsWith('FSReq'));
}
