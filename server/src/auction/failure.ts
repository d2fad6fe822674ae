import type { PlacementObstacle } from '@rivera/gen/rivera/bbs/v1/placement';
import { type Demand, MISMATCHES, type Mismatch, mismatch, type Offer } from './filters.js';
import { type Amounts, lacking, RESOURCES, type Resource } from './score.js';
import type { PlaceableWork } from './work.js';

/** Why no cell took a piece of work. */
export interface Failure {
  /** One of the reference's texts, to the letter: clients match on them (spec auction §6). */
  readonly reason: string;
  /** Every connected cell, grouped by what stood in the way; a cell that lacks two resources is in two groups. */
  readonly obstacles: PlacementObstacle[];
}

/** A cell as far as its refusal can be explained. */
export interface JudgedCell {
  readonly id: string;
  readonly offer: Offer;
  readonly evacuating: boolean;
  readonly avoided: boolean;
  readonly proxyMemoryMb: number;
  readonly free: Amounts;
}

const NO_CELL_REACHABLE = 'unable to communicate to compatible cells';
export const IN_FLIGHT_LIMIT = 'waiting to start instance: reached in-flight start limit';
const NO_ROOT_FS = 'found no compatible cell for required rootfs';
const NO_VOLUME_DRIVERS = 'found no compatible cell with required volume drivers';
const INSUFFICIENT = 'insufficient resources';

const KINDS = [...MISMATCHES, 'MEMORY', 'DISK', 'CONTAINERS', 'EVACUATING', 'AVOIDED', 'REFUSED'] as const;
type Kind = (typeof KINDS)[number];

const RESOURCE_KIND = { memory: 'MEMORY', disk: 'DISK', containers: 'CONTAINERS' } as const;
const EXAMPLES = 3;

/**
 * Says why none of `cells` can take the work; it is up to the caller that none can. Precedence, whatever the order of cells:
 * nobody takes work at all; else the filter that the furthest cell failed; else, among cells that pass the filters, nobody who
 * isn't avoided; else the resources that all of them lack. A cell that refused the work has no known lack.
 */
export function explain(cells: Iterable<JudgedCell>, work: PlaceableWork): Failure {
  const groups = new Map<Kind, Group>();
  const judged = new Map<Offer, Mismatch | undefined>();
  const refused = new Set(work.refusals.map((refusal) => refusal.cellId));
  let furthest = -1;
  let compatible = 0;
  let avoided = 0;
  let common: readonly Resource[] = RESOURCES;
  for (const cell of cells) {
    if (cell.evacuating) {
      addTo(groups, 'EVACUATING', cell.id);
      continue;
    }
    if (!judged.has(cell.offer)) judged.set(cell.offer, mismatch(cell.offer, work.demand));
    const failed = judged.get(cell.offer);
    if (failed !== undefined) {
      furthest = Math.max(furthest, MISMATCHES.indexOf(failed));
      addTo(groups, failed, cell.id);
      continue;
    }
    compatible++;
    const standsAside = cell.avoided || refused.has(cell.id);
    const lacks = standsAside ? [] : lacking(cell.free, memoryOn(work, cell.proxyMemoryMb), work.requirements.diskMb);
    common = common.filter((resource) => lacks.includes(resource));
    for (const resource of lacks) addTo(groups, RESOURCE_KIND[resource], cell.id);
    if (cell.avoided) avoided++;
    if (refused.has(cell.id)) addTo(groups, 'REFUSED', cell.id);
    else if (cell.avoided) addTo(groups, 'AVOIDED', cell.id);
  }
  return {
    reason: reasonFor({ furthest, compatible, avoided, common, demand: work.demand }),
    obstacles: KINDS.flatMap((kind) => {
      const group = groups.get(kind);
      if (group === undefined) return [];
      return [{ kind, description: describe(kind, work), cells: group.count, exampleCellIds: group.examples }];
    }),
  };
}

/** What an LRP or task takes of a cell's memory: a proxy's memory is charged to work that will have one, and to no other. */
export function memoryOn(work: PlaceableWork, proxyMemoryMb: number): number {
  const { requirements, subject } = work;
  return requirements.memoryMb + (requirements.proxied && subject.kind === 'lrp' ? proxyMemoryMb : 0);
}

/** `found no compatible cell with placement tags "a", "b" and "c"`, and its forms for one and none. */
function tagMismatchText(tags: readonly string[]): string {
  const quoted = tags.map((tag) => `"${tag}"`);
  if (quoted.length === 0) return 'found no compatible cell with no placement tags';
  if (quoted.length === 1) return `found no compatible cell with placement tag ${quoted[0]}`;
  return `found no compatible cell with placement tags ${quoted.slice(0, -1).join(', ')} and ${quoted.at(-1)}`;
}

function insufficientText(common: readonly Resource[]): string {
  return common.length === 0 ? INSUFFICIENT : `${INSUFFICIENT}: ${common.join(', ')}`;
}

function reasonFor(found: {
  furthest: number;
  compatible: number;
  avoided: number;
  common: readonly Resource[];
  demand: Demand;
}): string {
  if (found.compatible === 0) {
    if (found.furthest < 0) return NO_CELL_REACHABLE;
    const failed = MISMATCHES[found.furthest];
    if (failed === 'ROOT_FS') return NO_ROOT_FS;
    return failed === 'VOLUME_DRIVERS' ? NO_VOLUME_DRIVERS : tagMismatchText(found.demand.tags);
  }
  return found.avoided === found.compatible ? NO_CELL_REACHABLE : insufficientText(found.common);
}

interface Group {
  count: number;
  /** The lowest ids, in order. */
  examples: string[];
}

function addTo(groups: Map<Kind, Group>, kind: Kind, cellId: string): void {
  const group = groups.get(kind);
  if (group === undefined) {
    groups.set(kind, { count: 1, examples: [cellId] });
    return;
  }
  group.count++;
  const last = group.examples.at(-1) as string;
  if (group.examples.length < EXAMPLES || cellId < last) {
    group.examples = [...group.examples, cellId].sort().slice(0, EXAMPLES);
  }
}

function describe(kind: Kind, work: PlaceableWork): string {
  const { requirements, refusals } = work;
  switch (kind) {
    case 'ROOT_FS':
      return `does not offer the root filesystem "${requirements.rootFs}"`;
    case 'VOLUME_DRIVERS':
      return `lacks one of the volume drivers ${requirements.volumeDrivers.map((driver) => `"${driver}"`).join(', ')}`;
    case 'PLACEMENT_TAGS':
      return requirements.placementTags.length === 0
        ? 'takes only work with its placement tags'
        : `does not match the placement tags ${requirements.placementTags.map((tag) => `"${tag}"`).join(', ')}`;
    case 'MEMORY':
      return `has less than ${requirements.memoryMb} MiB of memory free${requirements.proxied ? ' beside the proxy' : ''}`;
    case 'DISK':
      return `has less than ${requirements.diskMb} MiB of disk free`;
    case 'CONTAINERS':
      return 'has no container left';
    case 'EVACUATING':
      return 'is being drained';
    case 'AVOIDED':
      return 'is avoided for a while, because it kept failing work';
    case 'REFUSED':
      return `refused it: ${[...new Set(refusals.map((refusal) => refusal.reason))].join('; ')}`;
  }
}
