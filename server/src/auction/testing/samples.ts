import { CellBid, type HeldWork } from '@rivera/gen/rivera/auction/v1/bid_service';
import { WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';
import { LrpAuction, TaskAuction } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { lrpWork, type PlaceableWork, taskWork } from '../work.js';

/** Cells and work for tests: small, alike, and different only where the test says so. */
export const ROOT_FS = 'preloaded:base';

export function bid(cellId: string, changes: Partial<CellBid> = {}): CellBid {
  return CellBid.fromPartial({
    sequence: 1,
    zone: 'z1',
    total: { memoryMb: 100, diskMb: 100, containers: 100 },
    available: changes.total ?? { memoryMb: 100, diskMb: 100, containers: 100 },
    rootFsProviders: [{ name: 'preloaded', properties: ['base'] }],
    ...changes,
    cellId,
  });
}

export function heldLrp(processGuid: string, index: number, instanceGuid = `${processGuid}-${index}`): HeldWork {
  return { workId: '', work: { $case: 'lrp', value: { processGuid, index, instanceGuid } } };
}

export function heldTask(taskGuid: string): HeldWork {
  return { workId: '', work: { $case: 'taskGuid', value: taskGuid } };
}

export function needs(changes: Partial<WorkRequirements> = {}): WorkRequirements {
  return WorkRequirements.fromPartial({ memoryMb: 1, diskMb: 1, rootFs: ROOT_FS, ...changes });
}

export function lrpAuction(
  processGuid: string,
  indices: number[],
  changes: Partial<WorkRequirements> = {},
): LrpAuction {
  return LrpAuction.fromPartial({ processGuid, domain: 'd', indices, requirements: needs(changes) });
}

export function taskAuction(taskGuid: string, changes: Partial<WorkRequirements> = {}): TaskAuction {
  return TaskAuction.fromPartial({ taskGuid, domain: 'd', requirements: needs(changes) });
}

let arrivals = 0;

export function lrp(processGuid: string, index = 0, changes: Partial<WorkRequirements> = {}): PlaceableWork {
  return lrpWork(lrpAuction(processGuid, [index], changes), () => arrivals++)[0] as PlaceableWork;
}

export function task(taskGuid: string, changes: Partial<WorkRequirements> = {}): PlaceableWork {
  return taskWork(taskAuction(taskGuid, changes), () => arrivals++) as PlaceableWork;
}
