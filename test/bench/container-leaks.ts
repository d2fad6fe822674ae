import { cellTraces, tracesOf } from '@rivera/cells/garden/oci/traces';
import { systemClock } from '@rivera/kit/clock';
import type { Report } from './figures.js';
import { type BenchGarden, makeContainer, startProcess, withGarden } from './stand/bench-garden.js';

const LANES = 8;
/** The kernel takes namespaces and loop devices away a moment after they were let go. */
const SETTLE_MS = 30_000;

/** Makes and destroys many containers over and over; fails when anything of them is left, and tells how long it took. */
export async function containerLeaks(report: Report, o: { rounds: number; containers: number }): Promise<void> {
  const ms: number[] = [];
  const { places, bridge } = await withGarden({}, async (bench) => {
    for (let round = 1; round <= o.rounds; round++) {
      const from = performance.now();
      await fill(bench, o.containers);
      await Promise.all(bench.garden.list().map((container) => bench.garden.destroy(container.handle)));
      ms.push(performance.now() - from);
      await nothing(`after round ${round}`, async () => (await tracesOf(bench.places)).map(({ what }) => what));
    }
    return bench;
  });
  await nothing('after the cell was dissolved', () => cellTraces(places, { bridge }));
  const conditions = `${o.containers} containers of one cell, ${o.rounds} times, ${LANES} made at once, destroyed all at once`;
  report({ name: 'containers made and destroyed', value: o.containers * o.rounds, unit: '', conditions });
  report({
    name: 'whole lives',
    value: (o.containers * o.rounds) / (ms.reduce((sum, each) => sum + each, 0) / 1000),
    unit: '/s',
    conditions,
  });
  report({
    name: 'left behind',
    value: 0,
    unit: '',
    conditions:
      'processes, mounts, loop devices, namespaces, control groups, interfaces, routes, firewall rules, ports, files',
  });
}

async function fill(bench: BenchGarden, containers: number): Promise<void> {
  let left = containers;
  const lane = async () => {
    while (left-- > 0) await (await startProcess(await makeContainer(bench))).firstByte;
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** @throws Error that lists what is left, if it doesn't go */
async function nothing(when: string, look: () => Promise<string[]>): Promise<void> {
  const deadline = systemClock.now() + SETTLE_MS;
  for (let left = await look(); left.length > 0; left = await look()) {
    if (systemClock.now() > deadline) throw new Error(`left behind ${when}: ${left.slice(0, 20).join('; ')}`);
    await systemClock.sleep(50);
  }
}
