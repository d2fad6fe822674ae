import { describe, expect, it } from 'vitest';
import { SCENARIO_NAMES, SCENARIOS, type ScenarioName, type ScenarioSize } from './catalogue.js';
import { simulateOverStreams } from './over-streams.js';
import { buildScenario, type Scenario } from './scenarios.js';
import { type Simulation, simulate } from './simulate.js';
import { spreadOf } from './spread.js';

/** The expectations of the reference's simulation suite (spec auction §11), and larger ones. */
const SEED = 7;

function run(name: ScenarioName, size: Partial<ScenarioSize> = {}): Simulation {
  return simulate(buildScenario(name, { ...SCENARIOS[name].usual, ...size }, SEED));
}

const placedOn = ({ cells }: Simulation) => cells.map(({ placed }) => placed);

/** Every cell that won something is within `tolerance` of the mean of such cells. */
function expectSpread(simulation: Simulation, tolerance: number): void {
  const { mean, least, most } = spreadOf(placedOn(simulation).filter((count) => count > 0));
  expect(mean - least).toBeLessThanOrEqual(tolerance);
  expect(most - mean).toBeLessThanOrEqual(tolerance);
}

function expectAllPlaced(simulation: Simulation): void {
  expect(simulation.failures).toEqual([]);
  expect(simulation.placed).toBe(simulation.submitted);
}

const SIZES = [
  [4, 8],
  [10, 40],
  [20, 200],
  [40, 800],
] as const;

describe('a small cold start', () => {
  it.each(SIZES)('spreads over %i cells %i processes within 1', (cells, lrps) => {
    const simulation = run('cold-start', { cells, lrps });
    expectAllPlaced(simulation);
    expectSpread(simulation, 1);
  });
});

describe('bin packing', () => {
  const weights = [0.25, 0.5, 0.75].flatMap((weight) => SIZES.map(([cells, lrps]) => [weight, cells, lrps] as const));
  const packing = (name: ScenarioName, weight: number, cells: number, lrps: number): Scenario => {
    const { shape, work } = buildScenario(name, { cells, lrps, zones: 2 }, SEED);
    return { work, shape: { ...shape, settings: { ...shape.settings, binPackFirstFitWeight: weight } } };
  };

  it.each(weights)(
    'of weight %d on %i cells fills low indices of each zone first with %i processes',
    (weight, cells, lrps) => {
      const simulation = simulate(packing('bin-pack', weight, cells, lrps));
      for (const { name, placed } of simulation.zones) {
        const inZone = simulation.cells.filter(({ zone }) => zone === name).map((cell) => cell.placed);
        expect(inZone).toEqual([...inZone].sort((a, b) => b - a));
        expect(Math.abs(placed - lrps / 2)).toBeLessThanOrEqual(1);
      }
    },
  );

  it.each(weights)(
    'of weight %d on %i cells still spreads %i instances of one process within 1',
    (weight, cells, lrps) => {
      expectSpread(simulate(packing('bin-pack-one-process', weight, cells, lrps)), 1);
    },
  );
});

describe('a large cold start', () => {
  it.each([
    [25, 2_050],
    [100, 8_200],
  ])('fills %i cells to 96 %% with %i instances within 10', (cells, lrps) => {
    const simulation = run('large-cold-start', { cells, lrps });
    expect(simulation.submitted).toBe(lrps);
    expectAllPlaced(simulation);
    expectSpread(simulation, 10);
  });
});

describe('an imbalanced cluster, as in a rolling deploy', () => {
  it.each([
    [5, 500],
    [1, 100],
  ])('with %i empty cells spreads %i new processes within 1', (_, lrps) => {
    expectSpread(run('rolling-deploy', { lrps }), 1);
  });
});

describe('zones', () => {
  it('are balanced before cells are', () => {
    expect(placedOn(run('zone-priority'))).toEqual([10, 10, 20]);
  });
});

describe('crowded cells', () => {
  it.each([
    [10, 80],
    [30, 200],
    [100, 400],
  ])('take, %i of them, %i instances of one process within 1', (cells, lrps) => {
    expectSpread(run('crowded-cells', { cells, lrps }), 1);
  });
});

describe('boulders and pebbles', () => {
  it('places index 0 of the large process, and many small ones before its index 1', () => {
    const simulation = run('boulders');
    expect(placedOn(simulation)).toEqual([51]);
    expect(simulation.failures).toEqual([{ reason: 'insufficient resources: memory', count: 31 }]);
  });
});

describe('a large installation', () => {
  it('of 1,000 cells spreads 50,000 instances more evenly than the reference', () => {
    const simulation = run('mixed', { cells: 1_000, lrps: 50_000 });
    expectAllPlaced(simulation);
    expectSpread(simulation, 1);
    expect(simulation.spread.deviation).toBeLessThanOrEqual(0.2);
  });

  it('that is half full takes as much again, and is no less even than it was', () => {
    const size = { ...SCENARIOS['half-full'].usual, cells: 1_000, lrps: 20_000, zones: 3 };
    const simulation = simulate(buildScenario('half-full', size, SEED));
    expectAllPlaced(simulation);
    const before = spreadOf(simulation.cells.map((cell) => cell.before));
    expect(simulation.spread.deviation).toBeLessThanOrEqual(before.deviation);
  });

  it('of three zones gives each its third, to one instance per cell', () => {
    const { zones } = run('mixed', { cells: 300, lrps: 9_000, zones: 3 });
    for (const { placed } of zones) expect(Math.abs(placed - 3_000)).toBeLessThanOrEqual(100);
  });
});

describe('every scenario', () => {
  it.each(SCENARIO_NAMES)('%s comes out the same for the same seed', (name) => {
    expect(placedOn(run(name))).toEqual(placedOn(run(name)));
  });
});

describe('over real streams with latency', () => {
  const OPTIONS = { latencyMs: 5 };

  it.each([
    ['cold-start', { cells: 20, lrps: 200 }],
    ['crowded-cells', { cells: 10, lrps: 80 }],
  ] as const)('%s spreads as evenly', async (name, size) => {
    const scenario = buildScenario(name, { ...SCENARIOS[name].usual, ...size }, SEED);
    const simulation = await simulateOverStreams(scenario, OPTIONS);
    expectAllPlaced(simulation);
    expectSpread(simulation, 1);
  });

  it('the same is not placed for the same reason', async () => {
    const scenario = buildScenario('boulders', SCENARIOS.boulders.usual, SEED);
    const { placed, failures } = await simulateOverStreams(scenario, OPTIONS);
    expect({ placed, failures }).toEqual({
      placed: 51,
      failures: [{ reason: 'insufficient resources: memory', count: 31 }],
    });
  });

  it('a run that is given up ends, and leaves nothing that runs', async () => {
    const scenario = buildScenario('cold-start', { cells: 4, lrps: 8, zones: 2 }, SEED);
    const slow = simulateOverStreams(scenario, { latencyMs: 2_000, signal: AbortSignal.timeout(300) });
    await expect(slow).rejects.toMatchObject({ name: 'TimeoutError' });
  });
});
