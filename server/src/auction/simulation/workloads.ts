import { LrpAuction, TaskAuction } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { compareWork, lrpWork, type PlaceableWork, taskWork } from '../work.js';
import { SIMULATED_ROOT_FS } from './simulated-cluster.js';

/** Work as a burst brings it, in the order in which the auctioneer takes it from its queue. */
export interface WorkSize {
  readonly memoryMb: number;
  readonly diskMb: number;
}

/** Instances per process, over and over: most processes are small, most instances are of large ones. */
const MIXED_SIZES = [1, 1, 2, 4, 12];

/** So many LRP instances, of processes of 1 to 12 instances. */
export function mixedLrps(instances: number, size: WorkSize): PlaceableWork[] {
  const work: PlaceableWork[] = [];
  for (let n = 0; work.length < instances; n++) {
    const count = Math.min(MIXED_SIZES[n % MIXED_SIZES.length] as number, instances - work.length);
    for (const piece of lrpInstances(`process-${n}`, count, size)) work.push(piece);
  }
  return work.sort(compareWork);
}

/** The instances of one process. */
export function lrpInstances(processGuid: string, instances: number, size: WorkSize): PlaceableWork[] {
  const indices = Array.from({ length: instances }, (_, index) => index);
  const requirements = { ...size, rootFs: SIMULATED_ROOT_FS };
  return lrpWork(LrpAuction.fromPartial({ processGuid, domain: 'simulated', indices, requirements }), () => 0);
}

/** One instance each of so many processes. */
export function distinctLrps(prefix: string, processes: number, size: WorkSize): PlaceableWork[] {
  return Array.from({ length: processes }, (_, n) => lrpInstances(`${prefix}-${n}`, 1, size)).flat();
}

export function simulatedTasks(count: number, size: WorkSize): PlaceableWork[] {
  const requirements = { ...size, rootFs: SIMULATED_ROOT_FS };
  return Array.from({ length: count }, (_, n) => {
    const auction = TaskAuction.fromPartial({ taskGuid: `task-${n}`, domain: 'simulated', requirements });
    return taskWork(auction, () => 0) ?? [];
  }).flat();
}
