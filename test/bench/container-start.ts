import { BIRTH_PHASES, type BirthPhase } from '@rivera/cells/garden/oci/options';
import { systemClock } from '@rivera/kit/clock';
import { quantile, type Report } from './figures.js';
import { type BenchGarden, MOST_CONTAINERS, makeContainer, startProcess, withGarden } from './stand/bench-garden.js';

/** As many as a cell makes at the same time. */
const LANES = 8;
const WARM_UP = 3;
const IDLE_MS = 10_000;
const WHOLE = '64 MiB quota, overlay, network, mapped port';

/** How long each part took, of all containers. */
class Stages {
  private readonly samples = new Map<string, number[]>();

  add(name: string, ms: number): void {
    const known = this.samples.get(name);
    if (known) known.push(ms);
    else this.samples.set(name, [ms]);
  }

  p(name: string, part: number): number {
    return quantile(this.samples.get(name) ?? [], part);
  }

  clear(): void {
    this.samples.clear();
  }
}

/** From asking for a container to its first process running: alone, eight at once, and many in a row; what idle ones cost. */
export async function containerStart(report: Report, o: { samples: number; idle: number }): Promise<void> {
  const stages = new Stages();
  const phaseEnded = (phase: BirthPhase, ms: number) => stages.add(phase, ms);
  await withGarden({ phaseEnded }, async (bench) => {
    await alone(bench, stages, { samples: WARM_UP, quota: true });
    stages.clear();
    await alone(bench, stages, { samples: o.samples, quota: false });
    const rootFs = stages.p('disk', 0.5);
    stages.clear();
    await alone(bench, stages, { samples: o.samples, quota: true });
    reportAlone(report, stages, { samples: o.samples, rootFs });
    stages.clear();
    await together(report, bench, stages, o.samples);
    await many(report, bench, Math.min(o.idle, MOST_CONTAINERS));
  });
}

/** One life after the other. */
async function alone(bench: BenchGarden, stages: Stages, o: { samples: number; quota: boolean }): Promise<void> {
  for (let i = 0; i < o.samples; i++) await life(bench, stages, o);
}

async function life(bench: BenchGarden, stages: Stages, o: { quota: boolean }): Promise<void> {
  const from = performance.now();
  const container = await makeContainer(bench, o);
  const created = performance.now();
  const { firstByte } = await startProcess(container);
  const running = performance.now();
  await firstByte;
  const heard = performance.now();
  await bench.garden.destroy(container.handle);
  stages.add('create', created - from);
  stages.add('run', running - created);
  stages.add('start', running - from);
  stages.add('first byte', heard - running);
  stages.add('destroy', performance.now() - heard);
}

function reportAlone(report: Report, stages: Stages, o: { samples: number; rootFs: number }): void {
  const conditions = `${o.samples} containers one after the other, ${WHOLE}`;
  const p50 = (name: string, value: number, more: string) =>
    report({ name: `${name} p50`, value, unit: 'ms', conditions: more });
  p50('create-to-running', stages.p('start', 0.5), conditions);
  report({ name: 'create-to-running p99', value: stages.p('start', 0.99), unit: 'ms', conditions });
  p50('create', stages.p('create', 0.5), conditions);
  for (const phase of BIRTH_PHASES.filter((each) => each !== 'disk'))
    p50(`  ${phase}`, stages.p(phase, 0.5), 'part of create; some go on at once');
  p50('  rootfs', o.rootFs, 'part of create: the overlay, of containers without a quota');
  p50('  quota', stages.p('disk', 0.5) - o.rootFs, 'part of create: what a quota adds to the root filesystem');
  p50('run', stages.p('run', 0.5), 'from the container to its first process');
  p50('first byte', stages.p('first byte', 0.5), 'from the first process to its output being read');
  p50('destroy', stages.p('destroy', 0.5), conditions);
}

async function together(report: Report, bench: BenchGarden, stages: Stages, samples: number): Promise<void> {
  let left = samples;
  const lane = async () => {
    while (left-- > 0) await life(bench, stages, { quota: true });
  };
  const from = performance.now();
  await Promise.all(Array.from({ length: LANES }, lane));
  const seconds = (performance.now() - from) / 1000;
  const conditions = `${samples} containers, ${LANES} at once, each destroyed when it has spoken; ${WHOLE}`;
  report({ name: 'create-to-running p50, 8 at once', value: stages.p('start', 0.5), unit: 'ms', conditions });
  report({ name: 'create-to-running p99, 8 at once', value: stages.p('start', 0.99), unit: 'ms', conditions });
  report({ name: 'whole lives', value: samples / seconds, unit: '/s', conditions });
}

/** Starts many and lets them be. */
async function many(report: Report, bench: BenchGarden, containers: number): Promise<void> {
  const rssBefore = process.memoryUsage.rss();
  let left = containers;
  const lane = async () => {
    while (left-- > 0) await (await startProcess(await makeContainer(bench))).firstByte;
  };
  const from = performance.now();
  await Promise.all(Array.from({ length: LANES }, lane));
  const seconds = (performance.now() - from) / 1000;
  const conditions = `${containers} containers, ${LANES} at once, all kept; ${WHOLE}`;
  report({ name: 'sustained starts', value: containers / seconds, unit: '/s', conditions });
  const cpuBefore = process.cpuUsage();
  await systemClock.sleep(IDLE_MS);
  const { user, system } = process.cpuUsage(cpuBefore);
  const idle = `${containers} containers that sleep; the program that holds the garden`;
  report({ name: 'CPU when idle', value: (user + system) / 10 / IDLE_MS, unit: '% of a core', conditions: idle });
  report({ name: 'RSS when idle', value: process.memoryUsage.rss() / 2 ** 20, unit: 'MiB', conditions: idle });
  report({
    name: 'RSS for the containers',
    value: (process.memoryUsage.rss() - rssBefore) / 2 ** 20,
    unit: 'MiB',
    conditions: 'of this, beyond what it was before them',
  });
  const ending = performance.now();
  await Promise.all(bench.garden.list().map((container) => bench.garden.destroy(container.handle)));
  const endSeconds = (performance.now() - ending) / 1000;
  report({
    name: 'sustained teardowns',
    value: containers / endSeconds,
    unit: '/s',
    conditions: `all ${containers} told at once`,
  });
}
