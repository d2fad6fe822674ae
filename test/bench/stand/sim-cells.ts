import { until } from '../../stack/until.js';
import { Forked } from './forked.js';
import { desireAll } from './lrps.js';
import type { SimCellsSettings } from './sim-cells-process.js';
import type { Stand } from './stand.js';
import { unwinding } from './unwinding.js';

/** A simulated container is a heap of objects: with more of them in one process its heap would be full before the burst is over. */
const CELLS_PER_PROCESS = 125;

/** Runs `body` while so many simulated cells are connected. */
export async function withSimCells<T>(
  { stack }: Stand,
  cells: number,
  body: (pids: readonly number[]) => Promise<T>,
): Promise<T> {
  const { folder, addresses } = stack;
  const starting: Promise<Forked>[] = [];
  for (let firstNumber = 0; firstNumber < cells; firstNumber += CELLS_PER_PROCESS) {
    const count = Math.min(CELLS_PER_PROCESS, cells - firstNumber);
    const settings: SimCellsSettings = { servers: addresses, folder, firstNumber, cells: count };
    const name = `sim-cells-${firstNumber}`;
    starting.push(Forked.start('./sim-cells-process.ts', { folder, name, settings }));
  }
  const close = async () => {
    await Promise.all(starting.map((each) => Forked.closeStarting(each)));
  };
  return unwinding(close, async () => body((await Promise.all(starting)).map(({ pid }) => pid)));
}

/** A thousand instances a minute is far below anything that a figure could come from. */
const PATIENCE_MS_PER_LRP = 60;

/** Desires so many LRPs and waits until all their instances run. @returns how long it took in all, until all were desired, and how many desires the server was too busy for */
export async function desireAndRun({ client, admin }: Stand, lrps: number) {
  const from = performance.now();
  const refused = await desireAll(client, lrps);
  const desiredSeconds = (performance.now() - from) / 1000;
  // The census of the server costs nothing to ask for, unlike a list.
  const running = async () =>
    (await admin.metrics()).sum('rivera_bbs_lrp_instances', { presence: 'ordinary', state: 'running' }) >= lrps;
  await until(`${lrps} instances run`, running, 60_000 + lrps * PATIENCE_MS_PER_LRP);
  return { refused, desiredSeconds, seconds: (performance.now() - from) / 1000 };
}
