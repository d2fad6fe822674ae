import { readFile, rm } from 'node:fs/promises';
import { failpoint } from '@rivera/kit/failpoint';
import { removeStage, unmountBelow } from '../../kernel/mounts.js';
import { isAlive } from '../../kernel/proc.js';
import { send } from '../../kernel/send.js';
import type { PortMapping } from '../garden.js';
import type { Cell } from './cell.js';
import { ContainerCgroup } from './cgroups/cgroup.js';
import type { ContainerPlaces } from './places.js';
import type { ContainerRecord } from './record.js';

/** A process that survives KILL this long waits for hardware; the destruction fails and can be tried again. */
const KILL_TIMEOUT_MS = 20_000;
/** A supervisor ends by itself when its process did. */
const SUPERVISOR_END_MS = 2000;

/**
 * Ends everything in a container and takes away every trace of it, whatever of it exists: whole, half made or half taken down.
 * It does as much as it can and throws at the end, so that it can be called again.
 */
export async function dismantle(
  cell: Cell,
  o: {
    places: ContainerPlaces;
    record?: ContainerRecord;
    /** Its host ports, where these are known. */
    ports?: PortMapping[];
    supervisors: number[];
    settleProcesses?: () => Promise<void>;
  },
): Promise<void> {
  const { places, record } = o;
  const { clock } = cell.settings;
  const cgroup = new ContainerCgroup(places.cgroup);
  const init = record?.init.pid ?? (await recordedInit(places));
  await cgroup.killAll(clock, { init, timeoutMs: KILL_TIMEOUT_MS });
  await endSupervisors(cell, o.supervisors);
  await o.settleProcesses?.();
  failpoint('cell.container-killed');
  const results = await Promise.allSettled([
    cell.network.remove(places.handle, record?.ids),
    // The overlay before what it is written into.
    unmountBelow(places.stage, places.dir),
    cgroup.remove(),
    rm(places.runtimeState, { recursive: true, force: true }),
  ]);
  const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  if (failures.length > 0) {
    throw new AggregateError(
      failures,
      failures.map((failure) => (failure instanceof Error ? failure.message : String(failure))).join('; '),
    );
  }
  failpoint('cell.container-half-destroyed');
  // A supervisor may still be writing its last file.
  const files = { recursive: true, force: true, maxRetries: 5, retryDelay: 20 };
  // Ports only now, as the rules that lead to them are gone; the files last, as they say what there is to be done.
  await Promise.all([cell.ports.release(places.handle, o.ports), removeStage(places.stage), rm(places.ends, files)]);
  await rm(places.dir, files);
}

async function endSupervisors(cell: Cell, pids: number[]): Promise<void> {
  const { clock } = cell.settings;
  const deadline = clock.now() + SUPERVISOR_END_MS;
  for (let left = pids.filter((pid) => isAlive(pid)); left.length > 0; left = left.filter((pid) => isAlive(pid))) {
    if (clock.now() > deadline) {
      for (const pid of left) send(pid, 'SIGKILL');
      return;
    }
    await clock.sleep(5);
  }
}

async function recordedInit(places: ContainerPlaces): Promise<number | undefined> {
  const pid = Number(await readFile(places.initPidFile, 'utf8').catch(() => ''));
  return pid > 0 ? pid : undefined;
}
