import { compareWork, type PlaceableWork } from '../work.js';
import type { ScenarioName, ScenarioSize } from './catalogue.js';
import { seededRandom, shuffle } from './seeded.js';
import type { ClusterShape } from './simulated-cluster.js';
import { distinctLrps, lrpInstances, mixedLrps } from './workloads.js';

/** A cluster, and the work that comes to it in the order in which it is placed. */
export interface Scenario {
  readonly shape: ClusterShape;
  readonly work: readonly PlaceableWork[];
}

const SETTINGS = { binPackFirstFitWeight: 0, startingContainerWeight: 0.25, startingContainerCountMaximum: 0 };
/** Those of the bin packing of the reference's suite. */
const BIN_PACKING = { ...SETTINGS, binPackFirstFitWeight: 0.5, startingContainerWeight: 0.5 };
const SMALL = { memoryMb: 1, diskMb: 1 };
/** A cell of the reference's suite. */
const SMALL_CELL = { memoryMb: 100, diskMb: 100, containers: 100 };
const ROOM_TO_SPARE = 1.25;

type Build = (size: ScenarioSize, random: () => number) => Scenario;

const BUILDERS: Record<ScenarioName, Build> = {
  mixed: ({ cells, lrps, zones }) => ({
    shape: { ...small(cells, zones), total: roomFor(lrps / cells) },
    work: mixedLrps(lrps, SMALL),
  }),
  'half-full': ({ cells, lrps, zones }, random) => {
    const older = randomLoad(cells, lrps, random);
    const heldBy = (cell: number) => older[cell] as number;
    return {
      shape: { ...small(cells, zones), total: roomFor((2 * lrps) / cells), heldBy },
      work: mixedLrps(lrps, SMALL),
    };
  },
  'cold-start': ({ cells, lrps, zones }) => ({ shape: small(cells, zones), work: distinctLrps('own', lrps, SMALL) }),
  'large-cold-start': ({ cells, lrps, zones }, random) => ({
    shape: small(cells, zones),
    work: shuffle(threeSizes(lrps), random).sort(compareWork),
  }),
  'bin-pack': ({ cells, lrps, zones }) => ({
    shape: { ...small(cells, zones), settings: BIN_PACKING },
    work: distinctLrps('own', lrps, SMALL),
  }),
  'bin-pack-one-process': ({ cells, lrps, zones }) => ({
    shape: { ...small(cells, zones), settings: BIN_PACKING },
    work: lrpInstances('one', lrps, SMALL),
  }),
  'rolling-deploy': ({ cells, lrps, zones }) => {
    const empty = Math.max(1, Math.round(lrps / 100));
    return {
      shape: { ...small(cells, zones), heldBy: (cell) => (cell < empty ? 0 : 50) },
      work: distinctLrps('new', lrps, SMALL),
    };
  },
  'zone-priority': ({ cells, lrps }) => {
    const lone = (cell: number) => cell >= Math.ceil((cells * 2) / 3);
    return {
      shape: {
        ...small(cells, 2),
        zoneOf: (cell) => (lone(cell) ? 'Z1' : 'Z0'),
        heldBy: (cell) => (lone(cell) ? 50 : 0),
      },
      work: lrpInstances('one', lrps, SMALL),
    };
  },
  'crowded-cells': ({ cells, lrps, zones }, random) => {
    const before = Array.from({ length: cells }, () => 78 + Math.floor(3 * random()));
    return {
      shape: { ...small(cells, zones), heldBy: (cell) => before[cell] as number },
      work: lrpInstances('one', lrps, SMALL),
    };
  },
  boulders: ({ cells, lrps, zones }) => {
    const boulders = lrpInstances('boulder', 2, { memoryMb: 50, diskMb: 1 });
    const pebbles = distinctLrps('pebble', Math.max(0, lrps - boulders.length), SMALL);
    return { shape: small(cells, zones), work: [...pebbles, ...boulders].sort(compareWork) };
  },
};

/** The same for the same seed. */
export function buildScenario(name: ScenarioName, size: ScenarioSize, seed: number): Scenario {
  return BUILDERS[name](size, seededRandom(seed));
}

function small(cells: number, zones: number): ClusterShape {
  return { cells, zoneOf: (cell) => `Z${cell % zones}`, total: SMALL_CELL, settings: SETTINGS };
}

function roomFor(instancesPerCell: number): ClusterShape['total'] {
  const containers = Math.ceil(instancesPerCell * ROOM_TO_SPARE);
  return { memoryMb: containers, diskMb: containers, containers };
}

/** 36 small, 4 medium and 1 large of 41; of each half are of processes of their own, half random members of 4 shared ones. */
function threeSizes(lrps: number): PlaceableWork[] {
  return [
    { memoryMb: 1, part: 36 },
    { memoryMb: 2, part: 4 },
    { memoryMb: 4, part: 1 },
  ].flatMap(({ memoryMb, part }) => {
    const size = { memoryMb, diskMb: 1 };
    const half = Math.round((lrps * part) / 41 / 2);
    const shared = [0, 1, 2, 3].map((n) => lrpInstances(`shared-${memoryMb}-${n}`, Math.floor((half + n) / 4), size));
    return [...distinctLrps(`own-${memoryMb}`, half, size), ...shared.flat()];
  });
}

/** Instances per cell when each goes to any cell. */
export function randomLoad(cells: number, instances: number, random: () => number): number[] {
  const load = new Array<number>(cells).fill(0);
  for (let n = 0; n < instances; n++) {
    const cell = Math.floor(random() * cells);
    load[cell] = (load[cell] as number) + 1;
  }
  return load;
}
