import { runToEnd } from '../../../kernel/command.js';
import { GardenError, type GardenLimits } from '../../garden.js';
import type { Cell } from '../cell.js';
import type { ContainerPlaces } from '../places.js';
import type { RuntimeProgram } from '../runtime/runtime.js';
import { type ContainerCgroup, cgroupVersion } from './cgroup.js';

/** Shares of a container that asks for none. */
const USUAL_CPU_SHARES = 1024;
const UNLIMITED = -1;

/** Limits as the kernel holds them; what it doesn't, as they were asked for. */
export async function readLimits(
  cgroup: ContainerCgroup,
  { asked, maxPids }: { asked: GardenLimits; maxPids: number },
): Promise<GardenLimits> {
  const [memoryBytes, pids, shares] = await Promise.all([
    cgroup.limit('memory', cgroupVersion === 2 ? 'memory.max' : 'memory.limit_in_bytes'),
    cgroup.limit('pids', 'pids.max'),
    // Version 2 keeps a weight, from which shares can't be told exactly.
    cgroupVersion === 2 ? asked.cpuShares : cgroup.limit('cpu', 'cpu.shares'),
  ]);
  const cpuShares = asked.cpuShares === 0 && shares === USUAL_CPU_SHARES ? 0 : shares;
  // The cell bounds those that ask for none.
  return { ...asked, memoryBytes, pids: asked.pids === 0 && pids === maxPids ? 0 : pids, cpuShares };
}

/**
 * Has the runtime that made a running container write limits of it: it knows the order in which the kernel takes them.
 * @throws GardenError `limit-failed`
 */
export async function writeLimits(
  cell: Cell,
  o: { places: ContainerPlaces; runtime: RuntimeProgram; change: Partial<GardenLimits> },
): Promise<void> {
  const { places, change } = o;
  const args: string[] = [];
  const { memoryBytes, pids, cpuShares } = change;
  if (memoryBytes !== undefined) {
    args.push('--memory', String(memoryBytes || UNLIMITED));
    if (cell.kernel.swapLimit) args.push('--memory-swap', String(memoryBytes || UNLIMITED));
  }
  if (pids !== undefined) args.push('--pids-limit', String(pids || cell.settings.maxPids || UNLIMITED));
  if (cpuShares !== undefined) args.push('--cpu-share', String(Math.max(2, cpuShares || USUAL_CPU_SHARES)));
  const command = ['--root', cell.places.runtimeRoot, 'update', ...args, places.handle];
  const { code, stderr } = await runToEnd(o.runtime.path, command, { timeoutMs: cell.settings.runtimeTimeoutMs });
  if (code !== 0) throw new GardenError('limit-failed', `the kernel refuses the limits: ${stderr.trim().slice(-500)}`);
}
