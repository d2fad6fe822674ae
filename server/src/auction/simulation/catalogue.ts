/** How large a run is. */
export interface ScenarioSize {
  readonly cells: number;
  readonly lrps: number;
  readonly zones: number;
}

interface Entry {
  readonly about: string;
  /** The reference's size, or one to begin with. */
  readonly usual: ScenarioSize;
}

/**
 * What can be simulated: all of the reference's suite (spec auction §11) and what a large installation meets. Apart from how it is
 * made (`scenarios.ts`), so that a command line can offer the names without loading the auction.
 */
export const SCENARIOS = {
  mixed: {
    about: 'processes of 1 to 12 instances on empty cells with room for a quarter more',
    usual: { cells: 100, lrps: 4_000, zones: 2 },
  },
  'half-full': {
    about: 'processes of 1 to 12 instances on cells that have as many older instances at random',
    usual: { cells: 100, lrps: 4_000, zones: 2 },
  },
  'cold-start': {
    about: 'processes of one instance on empty cells',
    usual: { cells: 40, lrps: 800, zones: 2 },
  },
  'large-cold-start': {
    about: 'instances of 1, 2 and 4 MiB, half of them of shared processes, up to 96 % of all memory',
    usual: { cells: 100, lrps: 8_200, zones: 2 },
  },
  'bin-pack': {
    about: 'processes of one instance fill cells of low index first',
    usual: { cells: 40, lrps: 800, zones: 2 },
  },
  'bin-pack-one-process': {
    about: 'one process spreads although cells of low index are to be filled first',
    usual: { cells: 40, lrps: 800, zones: 2 },
  },
  'rolling-deploy': {
    about: 'some cells are empty and all others half full, a hundred new processes per empty one',
    usual: { cells: 100, lrps: 500, zones: 2 },
  },
  'zone-priority': {
    about: 'two cells in one zone, a third that is half full in the other: zones are balanced before cells',
    usual: { cells: 3, lrps: 40, zones: 2 },
  },
  'crowded-cells': {
    about: 'one process on cells that are four fifths full',
    usual: { cells: 100, lrps: 400, zones: 2 },
  },
  boulders: {
    about: 'small processes and two instances of half a cell: index 0 of the large one goes first, index 1 last',
    usual: { cells: 1, lrps: 82, zones: 1 },
  },
} as const satisfies Record<string, Entry>;

export type ScenarioName = keyof typeof SCENARIOS;
export const SCENARIO_NAMES = Object.keys(SCENARIOS) as ScenarioName[];
