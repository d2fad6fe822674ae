import { until } from '../../stack/until.js';
import { Forked } from './forked.js';
import { desireAll } from './lrps.js';
import type { Stand } from './stand.js';
import { unwinding } from './unwinding.js';

/** Runs `body` while so many simulated cells are connected. */
export async function withSimCells<T>(
  { stack }: Stand,
  cells: number,
  body: (process: Forked) => Promise<T>,
): Promise<T> {
  const settings = { servers: stack.addresses, folder: stack.folder, cells };
  const starting = Forked.start('./sim-cells-process.ts', { folder: stack.folder, name: 'sim-cells', settings });
  return unwinding(
    () => Forked.closeStarting(starting),
    async () => body(await starting),
  );
}

/** A thousand instances a minute is far below anything that a figure could come from. */
const PATIENCE_MS_PER_LRP = 60;

/** Desires so many LRPs and waits until all their instances run. @returns how long it took in all, and until all were desired */
export async function desireAndRun({ client, admin }: Stand, lrps: number) {
  const from = performance.now();
  await desireAll(client, lrps);
  const desiredSeconds = (performance.now() - from) / 1000;
  // The census of the server costs nothing to ask for, unlike a list.
  const running = async () =>
    (await admin.metrics()).sum('rivera_bbs_lrp_instances', { presence: 'ordinary', state: 'running' }) >= lrps;
  await until(`${lrps} instances run`, running, 60_000 + lrps * PATIENCE_MS_PER_LRP);
  return { desiredSeconds, seconds: (performance.now() - from) / 1000 };
}
