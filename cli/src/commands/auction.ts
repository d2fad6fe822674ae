import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { SCENARIO_NAMES, SCENARIOS, type ScenarioName } from '@rivera/server/auction/simulation/catalogue';
import type { Scenario } from '@rivera/server/auction/simulation/scenarios';
import type { Simulation } from '@rivera/server/auction/simulation/simulate';
import type { Spread } from '@rivera/server/auction/simulation/spread';
import { type Command, Option } from 'commander';
import { examples, type Outcome, perform, withOutput } from '../command-line.js';
import { localError } from '../failures.js';
import type { Io } from '../io.js';
import { parseCount } from '../recipe/quantities.js';
import { renderPairs, renderTable } from '../terminal/table.js';
import { formatTook } from '../terminal/time.js';
import { spreadSvg } from './spread-svg.js';

interface Options {
  scenario: ScenarioName;
  cells?: number;
  lrps?: number;
  zones?: number;
  seed: number;
  svg?: string;
  streams?: boolean;
  latency?: number;
}

/** Cells that are clients with a connection of their own. */
const MOST_STREAMS = 1_000;

/** What a run is about, with the numbers that the user left open filled in. */
interface Run {
  readonly scenario: ScenarioName;
  readonly cells: number;
  readonly lrps: number;
  readonly zones: number;
  readonly seed: number;
  /** How long each message is on its way; undefined: there are no streams. */
  readonly latencyMs: number | undefined;
}

/** `rivera auction …`: how work finds its cell. */
export function addAuction(program: Command, io: Io, outcome: Outcome): void {
  const auction = program.command('auction').description('how work finds its cell');
  const command = withOutput(
    auction.command('simulate').description('place pretended work on pretended cells, by the real rules, here'),
  )
    .addOption(new Option('--scenario <name>', 'what happens').choices(SCENARIO_NAMES).default('mixed'))
    .option('--cells <n>', 'cells (default: as the scenario has it)', parseCount('--cells', 1, 20_000))
    .option('--lrps <n>', 'instances to place (default: as the scenario has it)', parseCount('--lrps', 1, 2_000_000))
    .option('--zones <n>', 'zones (default: as the scenario has it)', parseCount('--zones', 1, 100))
    .option('--seed <n>', 'of what is random', parseCount('--seed', 0, 2 ** 32 - 1), 1)
    .option('--streams', 'over real gRPC streams on this machine, with an auctioneer and a client for each cell')
    .option(
      '--latency <ms>',
      'how long every message is on its way, in each direction; implies --streams',
      parseCount('--latency', 0, 2_000),
    )
    .option('--svg <file>', 'draw the instances of each cell into a file');
  examples(
    command,
    ['rivera auction simulate', '4,000 instances on 100 cells'],
    ['rivera auction simulate --scenario rolling-deploy --svg spread.svg', 'and a picture of it'],
    ['rivera auction simulate --cells 1000 --lrps 50000 --zones 3', 'as large as it is to be'],
    ['rivera auction simulate --scenario crowded-cells --latency 50', 'over streams to cells that are far away'],
  );
  command.addHelpText('after', `\nScenarios:\n${scenarioHelp()}\n\nNo server is asked, and nothing is started.`);
  perform<Options>(command, io, outcome, async (session, _, options) => {
    const { scenario, seed, svg } = options;
    const { cells, lrps, zones } = { ...SCENARIOS[scenario].usual, ...given(options) };
    const latencyMs = options.latency ?? (options.streams ? 0 : undefined);
    const run: Run = { scenario, cells, lrps, zones, seed, latencyMs };
    const { buildScenario } = await import('@rivera/server/auction/simulation/scenarios');
    const simulation = await simulated(buildScenario(scenario, run, seed), latencyMs, session.signal);
    if (session.out.json) await session.out.line(toJson(run, simulation));
    else await session.out.data(describe(run, simulation));
    if (svg !== undefined) await draw(resolve(session.io.cwd, svg), run, simulation);
    return undefined;
  });
}

async function simulated(scenario: Scenario, latencyMs: number | undefined, signal: AbortSignal): Promise<Simulation> {
  if (latencyMs === undefined) {
    const { simulate } = await import('@rivera/server/auction/simulation/simulate');
    return simulate(scenario);
  }
  const { cells } = scenario.shape;
  if (cells > MOST_STREAMS)
    throw localError(
      `${cells} cells are too many for streams: at most ${MOST_STREAMS}, each is a client of its own`,
      [],
    );
  const { simulateOverStreams } = await import('@rivera/server/auction/simulation/over-streams');
  return simulateOverStreams(scenario, { latencyMs, signal });
}

function given({ cells, lrps, zones }: Options): Partial<Run> {
  return { ...(cells && { cells }), ...(lrps && { lrps }), ...(zones && { zones }) };
}

function scenarioHelp(): string {
  const width = Math.max(...SCENARIO_NAMES.map((name) => name.length));
  return SCENARIO_NAMES.map((name) => `  ${name.padEnd(width)}   ${SCENARIOS[name].about}`).join('\n');
}

function describe(run: Run, simulation: Simulation): string {
  const { submitted, placed, failures, tookMs, zones, spread } = simulation;
  const cells = zones.reduce((sum, zone) => sum + zone.cells, 0);
  const right = (title: string) => ({ title, align: 'right' as const });
  const columns = ['zone', ...['cells', 'before', 'placed', 'fewest', 'most', 'mean', 'deviation'].map(right)];
  const row = (name: string, of: { cells: number; before: number; placed: number; spread: Spread }) => [
    ...[name, String(of.cells), String(of.before), String(of.placed)],
    ...[String(of.spread.least), String(of.spread.most), of.spread.mean.toFixed(1), of.spread.deviation.toFixed(2)],
  ];
  const before = zones.reduce((sum, zone) => sum + zone.before, 0);
  const pairs = renderPairs([
    ['scenario', `${run.scenario}: ${SCENARIOS[run.scenario].about}`],
    ...(run.latencyMs === undefined
      ? []
      : [['streams', `${cells} over gRPC, each message ${run.latencyMs} ms on its way`] as [string, string]]),
    ['placed', `${placed} of ${submitted} instances`],
    ...failures.map(({ reason, count }): [string, string] => ['not placed', `${count}: ${reason}`]),
    [
      'time',
      `${formatTook(tookMs)}, ${Math.round(submitted / (tookMs / 1_000)).toLocaleString('en')} decisions a second`,
    ],
  ]);
  const table = renderTable(columns, [
    ...zones.map((zone) => row(zone.name, zone)),
    row('all', { cells, before, placed, spread }),
  ]);
  return `${pairs}\n${table}`;
}

function toJson(run: Run, { cells: _, ...figures }: Simulation): object {
  return { ...run, ...figures };
}

async function draw(
  file: string,
  { scenario, seed }: Run,
  { cells, spread, placed, submitted }: Simulation,
): Promise<void> {
  const { least, most, deviation } = spread;
  const picture = spreadSvg({
    title: `Instances per cell: ${scenario}`,
    subtitle: `${placed} of ${submitted} placed on ${cells.length} cells, ${least} to ${most} each, deviation ${deviation.toFixed(2)}, seed ${seed}`,
    cells,
  });
  try {
    await writeFile(file, picture);
  } catch (error) {
    throw localError(`can not write ${file}: ${(error as Error).message}`, [], error);
  }
}
