import type { CellBid } from '@rivera/gen/rivera/auction/v1/bid_service';
import type { WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';

/**
 * The rules of placement, written down plainly and slowly (spec auction §5.2-§5.9): every cell is looked at for every
 * piece of work. It shares no code with the real thing, which is compared with it.
 */
export interface PlainWork {
  kind: 'lrp' | 'task';
  processGuid: string;
  requirements: WorkRequirements;
}

export interface PlainOutcome {
  /** undefined: nobody took it. */
  score: number | undefined;
  reason: string;
  /** Score of every cell of the winning pool of zones. */
  scores: Map<string, number>;
}

interface PlainCell {
  bid: CellBid;
  memory: number;
  disk: number;
  containers: number;
  starting: number;
  processes: string[];
  tasks: number;
}

export class PlainAuction {
  private readonly cells: PlainCell[];

  constructor(
    bids: CellBid[],
    private readonly weights: {
      startingContainerWeight: number;
      binPackFirstFitWeight: number;
      startingContainerCountMaximum: number;
    },
  ) {
    this.cells = bids
      .filter((bid) => !bid.evacuating)
      .map((bid) => ({
        bid,
        memory: bid.available?.memoryMb ?? 0,
        disk: bid.available?.diskMb ?? 0,
        containers: bid.available?.containers ?? 0,
        starting: bid.startingContainers,
        processes: bid.held.flatMap((held) => (held.work?.$case === 'lrp' ? [held.work.value.processGuid] : [])),
        tasks: bid.held.filter((held) => held.work?.$case === 'taskGuid').length,
      }));
  }

  ask(work: PlainWork): PlainOutcome {
    const scores = new Map<string, number>();
    const failed = (reason: string): PlainOutcome => ({ score: undefined, reason, scores });
    if (this.cells.length === 0) return failed('unable to communicate to compatible cells');
    const limit = this.weights.startingContainerCountMaximum;
    const starting = this.cells.reduce((sum, cell) => sum + cell.starting, 0);
    if (limit > 0 && starting >= limit) {
      return failed('waiting to start instance: reached in-flight start limit');
    }
    const byRootFs = this.cells.filter((cell) => hasRootFs(cell.bid, work.requirements.rootFs));
    if (byRootFs.length === 0) return failed('found no compatible cell for required rootfs');
    const byDrivers = byRootFs.filter((cell) =>
      work.requirements.volumeDrivers.every((driver) => cell.bid.volumeDrivers.includes(driver)),
    );
    if (byDrivers.length === 0) return failed('found no compatible cell with required volume drivers');
    const eligible = byDrivers.filter((cell) => tagsMatch(cell.bid, work.requirements.placementTags));
    if (eligible.length === 0) return failed(tagText(work.requirements.placementTags));

    for (const pool of this.pools(work, eligible)) {
      for (const cell of pool) if (lacks(cell, work).length === 0) scores.set(cell.bid.cellId, this.score(cell, work));
      if (scores.size > 0) return { score: Math.min(...scores.values()), reason: '', scores };
    }
    const common = ['containers', 'disk', 'memory'].filter((resource) =>
      eligible.every((cell) => lacks(cell, work).includes(resource)),
    );
    return failed(common.length === 0 ? 'insufficient resources' : `insufficient resources: ${common.join(', ')}`);
  }

  take(cellId: string, work: PlainWork): void {
    const cell = this.cells.find((candidate) => candidate.bid.cellId === cellId);
    if (cell === undefined) throw new Error(`no cell ${cellId}`);
    cell.memory -= memoryOf(cell, work);
    cell.disk -= work.requirements.diskMb;
    cell.containers -= 1;
    cell.starting += 1;
    if (work.kind === 'lrp') cell.processes.push(work.processGuid);
    else cell.tasks += 1;
  }

  /** Groups of cells, to be tried one after the other. */
  private pools(work: PlainWork, eligible: PlainCell[]): PlainCell[][] {
    if (work.kind === 'task') return [eligible];
    const population = (zone: string) =>
      this.cells
        .filter((cell) => cell.bid.zone === zone)
        .reduce((sum, cell) => sum + cell.processes.filter((guid) => guid === work.processGuid).length, 0);
    const counts = [...new Set(eligible.map((cell) => population(cell.bid.zone)))].sort((a, b) => a - b);
    return counts.map((count) => eligible.filter((cell) => population(cell.bid.zone) === count));
  }

  private score(cell: PlainCell, work: PlainWork): number {
    const total = cell.bid.total ?? { memoryMb: 0, diskMb: 0, containers: 0 };
    const used = (available: number, request: number, all: number) => (all > 0 ? 1 - (available - request) / all : 1);
    const resource =
      (used(cell.memory, memoryOf(cell, work), total.memoryMb) +
        used(cell.disk, work.requirements.diskMb, total.diskMb) +
        used(cell.containers, 1, total.containers)) /
      3;
    const starting = cell.starting * this.weights.startingContainerWeight;
    if (work.kind === 'task') return resource + starting + 1000 * cell.tasks;
    const locality = 1000 * cell.processes.filter((guid) => guid === work.processGuid).length;
    return resource + starting + locality + this.denseIndex(cell) * this.weights.binPackFirstFitWeight;
  }

  private denseIndex(cell: PlainCell): number {
    const before = (other: PlainCell) =>
      other.bid.cellIndex < cell.bid.cellIndex ||
      (other.bid.cellIndex === cell.bid.cellIndex && other.bid.cellId < cell.bid.cellId);
    return this.cells.filter((other) => other.bid.zone === cell.bid.zone && before(other)).length;
  }
}

function memoryOf(cell: PlainCell, work: PlainWork): number {
  const proxied = work.kind === 'lrp' && work.requirements.proxied;
  return work.requirements.memoryMb + (proxied ? cell.bid.proxyMemoryMb : 0);
}

function lacks(cell: PlainCell, work: PlainWork): string[] {
  const lacking: string[] = [];
  if (cell.containers < 1) lacking.push('containers');
  if (cell.disk < work.requirements.diskMb) lacking.push('disk');
  if (cell.memory < memoryOf(cell, work)) lacking.push('memory');
  return lacking;
}

function hasRootFs(bid: CellBid, rootFs: string): boolean {
  const colon = rootFs.indexOf(':');
  const name = rootFs.slice(colon + 1).split('?')[0] ?? '';
  return bid.rootFsProviders.some(
    (provider) =>
      provider.name === rootFs.slice(0, colon) &&
      (provider.properties.length === 0 || provider.properties.includes(name)),
  );
}

function tagsMatch(bid: CellBid, wanted: string[]): boolean {
  const all = [...bid.placementTags, ...bid.optionalPlacementTags];
  return bid.placementTags.every((tag) => wanted.includes(tag)) && wanted.every((tag) => all.includes(tag));
}

function tagText(tags: string[]): string {
  const quoted = tags.map((tag) => `"${tag}"`);
  if (tags.length === 0) return 'found no compatible cell with no placement tags';
  if (tags.length === 1) return `found no compatible cell with placement tag ${quoted[0]}`;
  return `found no compatible cell with placement tags ${quoted.slice(0, -1).join(', ')} and ${quoted[tags.length - 1]}`;
}
