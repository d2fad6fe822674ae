import { LrpWork, TaskWork, type WorkItem } from '@rivera/gen/rivera/auction/v1/bid_service';
import type { WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';
import type { LrpAuction, TaskAuction, WorkKey } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { type Demand, demandOf } from './filters.js';

/** One thing that wants a cell: a slot of an LRP, or a Task. */
export interface PlaceableWork {
  /** Unique among all work: see {@link lrpKey}, {@link taskKey}. */
  readonly key: string;
  readonly subject: Subject;
  readonly domain: string;
  readonly requirements: WorkRequirements;
  readonly demand: Demand;
  /** Priority class and index in one number, lower first: see {@link compareWork}. */
  readonly rank: number;
  /** Counts up with arrival; breaks ties. */
  readonly arrival: number;
  /** Cells that refused it, with the reasons they gave. Grows with every refusal, at most one per attempt. */
  readonly refusals: readonly Refusal[];
}

export type Subject =
  | { readonly kind: 'lrp'; readonly processGuid: string; readonly index: number }
  | { readonly kind: 'task'; readonly taskGuid: string };

export interface Refusal {
  readonly cellId: string;
  readonly reason: string;
}

const FIRST_INSTANCES = 0;
const TASKS = 1;
const FURTHER_INSTANCES = 2;

export function lrpKey(processGuid: string, index: number): string {
  return `l/${processGuid}/${index}`;
}

export function taskKey(taskGuid: string): string {
  return `t/${taskGuid}`;
}

/**
 * The order in which work is placed: index 0 of every LRP, then tasks, then further instances by index; the largest memory
 * first in each, the longest known first among equals. An instance's class doesn't depend on what else waits (the reference
 * puts index 0 behind the tasks when no other index waits, spec auction §5.1).
 */
export function compareWork(a: PlaceableWork, b: PlaceableWork): number {
  return a.rank - b.rank || b.requirements.memoryMb - a.requirements.memoryMb || a.arrival - b.arrival;
}

/** One piece of work per index. undefined requirements make none: there is nothing to place. */
export function lrpWork(auction: LrpAuction, nextArrival: () => number): PlaceableWork[] {
  const requirements = auction.requirements;
  if (requirements === undefined) return [];
  const demand = demandOf(requirements);
  return auction.indices.map((index) => ({
    key: lrpKey(auction.processGuid, index),
    subject: { kind: 'lrp', processGuid: auction.processGuid, index },
    domain: auction.domain,
    requirements,
    demand,
    rank: rankOf(index === 0 ? FIRST_INSTANCES : FURTHER_INSTANCES, index),
    arrival: nextArrival(),
    refusals: [],
  }));
}

export function taskWork(auction: TaskAuction, nextArrival: () => number): PlaceableWork | undefined {
  if (auction.requirements === undefined) return undefined;
  return {
    key: taskKey(auction.taskGuid),
    subject: { kind: 'task', taskGuid: auction.taskGuid },
    domain: auction.domain,
    requirements: auction.requirements,
    demand: demandOf(auction.requirements),
    rank: rankOf(TASKS, 0),
    arrival: nextArrival(),
    refusals: [],
  };
}

function rankOf(priorityClass: number, index: number): number {
  return priorityClass * 2 ** 32 + index;
}

/** The BBS's name of a piece of work; undefined for a key that names nothing. */
export function keyOf(key: WorkKey): string | undefined {
  if (key.key?.$case === 'lrp') return lrpKey(key.key.value.processGuid, key.key.value.index);
  return key.key?.$case === 'taskGuid' ? taskKey(key.key.value) : undefined;
}

export function toWorkKey(subject: Subject): WorkKey {
  return subject.kind === 'lrp'
    ? { key: { $case: 'lrp', value: { processGuid: subject.processGuid, index: subject.index } } }
    : { key: { $case: 'taskGuid', value: subject.taskGuid } };
}

/** As a cell is told of it. */
export function toWorkItem(work: PlaceableWork, workId: string): WorkItem {
  const { subject } = work;
  return {
    workId,
    domain: work.domain,
    requirements: work.requirements,
    work:
      subject.kind === 'lrp'
        ? { $case: 'lrp', value: LrpWork.fromPartial({ processGuid: subject.processGuid, index: subject.index }) }
        : { $case: 'task', value: TaskWork.fromPartial({ taskGuid: subject.taskGuid }) },
  };
}

/** What makes a piece of work no work at all, in the reference's words (spec auction §2); undefined: nothing does. */
export function invalidity(work: PlaceableWork): string | undefined {
  const { requirements, subject, domain } = work;
  if (subject.kind === 'lrp' && subject.processGuid === '') return 'proccess guid is empty';
  if (subject.kind === 'task' && subject.taskGuid === '') return 'task guid is empty';
  if (domain === '') return 'domain is empty';
  if (requirements.memoryMb < 0 || requirements.diskMb < 0) return 'resources cannot be less than 0';
  return requirements.rootFs === '' ? 'placement constraint cannot be empty' : undefined;
}
