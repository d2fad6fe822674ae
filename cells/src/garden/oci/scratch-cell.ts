import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { unmountBelow } from '../../kernel/mounts.js';
import { isAlive, processFacts } from '../../kernel/proc.js';
import { buildBusyboxRootFs } from '../rootfs/busybox.js';
import { OciGarden } from './oci-garden.js';
import type { OciGardenOptions } from './options.js';
import { cellPlaces } from './places.js';
import { cellTraces, tracesOf } from './traces.js';

const PREFIX = 'rivera-scratch-';

/** What has to be known to clear a scratch cell away whose program is gone. */
interface ScratchNote {
  pid: number;
  startTime: number;
  cellId: string;
  subnet: string;
  bridge: string;
}

/** A cell for tests: real containers under a temporary folder, with a bridge and subnet of its own. */
export interface ScratchCell {
  readonly options: OciGardenOptions;
  readonly rootFs: string;
  /** A garden on this cell's data, started. Close the earlier one first. */
  open(more?: Partial<OciGardenOptions>): Promise<OciGarden>;
  /** What is on the machine of containers; empty once all were destroyed. */
  leaks(): Promise<string[]>;
  /** Destroys all containers and removes every trace. */
  remove(): Promise<void>;
}

let made = 0;

/** Makes a scratch cell, after clearing away those of tests that crashed. */
export async function scratchCell(): Promise<ScratchCell> {
  await sweep();
  const number = (process.pid * 8 + made++) % (40 * 256);
  const note: ScratchNote = {
    pid: process.pid,
    startTime: processFacts(process.pid)?.startTime ?? 0,
    cellId: `scratch-${process.pid}-${made}`,
    subnet: `10.${200 + (number >> 8)}.${number & 255}.0/24`,
    bridge: `rvs${number}`,
  };
  const base = await mkdtemp(join(tmpdir(), PREFIX));
  // Whole or not at all: others may be sweeping.
  await writeFile(join(base, 'note.new'), JSON.stringify(note));
  await rename(join(base, 'note.new'), join(base, 'note.json'));
  const options = scratchOptions(base, note);
  const places = cellPlaces(options.dataDir, options.cellId);
  await buildBusyboxRootFs(join(options.rootFsDir, 'busybox'));
  return {
    options,
    rootFs: 'preloaded:busybox',
    async open(more = {}) {
      const garden = new OciGarden({ ...options, ...more });
      await garden.start();
      return garden;
    },
    leaks: () => settled(async () => (await tracesOf(places)).map(({ handle, what }) => `${handle}: ${what}`)),
    async remove() {
      await clear(base, note);
      const left = await settled(() => cellTraces(places, note));
      if (left.length > 0) throw new Error(`left behind: ${left.join('; ')}`);
    },
  };
}

/** What was told to end may take a moment to be gone from the kernel's lists. */
async function settled(look: () => Promise<string[]>): Promise<string[]> {
  for (let pauseMs = 1; ; pauseMs *= 2) {
    const left = await look();
    if (left.length === 0 || pauseMs > 8000) return left;
    await systemClock.sleep(pauseMs);
  }
}

function scratchOptions(base: string, note: ScratchNote): OciGardenOptions {
  const { cellId, subnet, bridge } = note;
  return {
    cellId,
    subnet,
    bridge,
    dataDir: join(base, 'data'),
    rootFsDir: join(base, 'rootfs'),
    // The suites that are run with another runtime than the machine's first choice (vitest.config.ts).
    ...(process.env.RIVERA_TEST_RUNTIME && { runtime: process.env.RIVERA_TEST_RUNTIME }),
    log: silentLogger,
    clock: systemClock,
  };
}

async function clear(base: string, note: ScratchNote): Promise<void> {
  const garden = new OciGarden(scratchOptions(base, note));
  await garden.start();
  await Promise.all(garden.list().map((container) => garden.destroy(container.handle)));
  await garden.close();
  await garden.dissolve();
  // A test may have put a filesystem of its own there.
  await unmountBelow(base);
  await rm(base, { recursive: true, force: true });
}

async function sweep(): Promise<void> {
  for (const name of (await readdir(tmpdir())).filter((entry) => entry.startsWith(PREFIX))) {
    const base = join(tmpdir(), name);
    const text = await readFile(join(base, 'note.json'), 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const note = JSON.parse(text) as ScratchNote;
    if (processFacts(note.pid)?.startTime === note.startTime) continue;
    if (await isMine(join(base, 'sweeper'))) await clear(base, note);
  }
}

/** Of several programs that sweep at the same time one gets the work; one that died over it is succeeded. */
async function isMine(path: string): Promise<boolean> {
  const sweeper = Number(await readFile(path, 'utf8').catch(() => 0));
  if (sweeper > 0 && isAlive(sweeper)) return sweeper === process.pid;
  await rm(path, { force: true });
  return writeFile(path, String(process.pid), { flag: 'wx' }).then(
    () => true,
    () => false,
  );
}
