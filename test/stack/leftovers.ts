import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OciGarden } from '@rivera/cells/garden/oci/oci-garden';
import { unmountBelow } from '@rivera/cells/kernel/mounts';
import { systemClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { parse } from 'yaml';
import { until } from './until.js';

const PREFIX = 'rivera-stack-';
/** Of folders whose owner is still being written down. */
const NEW = 'rivera-new-stack-';
const OWNER = 'owner';
const SWEEPER = 'sweeper';

/** A folder for a stack, marked with who made it, so that a later run can tell whether its maker is dead. */
export function newStackFolder(): string {
  const made = mkdtempSync(join(tmpdir(), NEW));
  writeFileSync(join(made, OWNER), mark());
  const folder = made.replace(NEW, PREFIX);
  // Another test may be sweeping: it sees the folder with its owner or not at all.
  renameSync(made, folder);
  return folder;
}

/** Ends and clears away what stacks of crashed tests left: programs, containers, bridges, folders. */
export async function sweepLeftovers(): Promise<void> {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(PREFIX))) {
    const folder = join(tmpdir(), name);
    if (isMarkedByTheLiving(join(folder, OWNER)) || !isOursToSweep(folder)) continue;
    await endPrograms(folder);
    await emptyCells(folder);
    // A test may have given a cell a disk of its own.
    await unmountBelow(folder);
    await rm(folder, { recursive: true, force: true });
  }
}

/** Of several tests that sweep at the same time one gets the folder; one that died over it is succeeded. */
function isOursToSweep(folder: string): boolean {
  const path = join(folder, SWEEPER);
  if (isMarkedByTheLiving(path)) return false;
  rmSync(path, { force: true });
  try {
    writeFileSync(path, mark(), { flag: 'wx' });
    return true;
  } catch {
    return false;
  }
}

function mark(): string {
  return `${process.pid} ${startTime(process.pid)}`;
}

function isMarkedByTheLiving(path: string): boolean {
  if (!existsSync(path)) return false;
  const [pid, started] = readFileSync(path, 'utf8').split(' ');
  return started !== undefined && startTime(Number(pid)) === started;
}

/** The programs that were started with a path in the folder; containers' processes are left to their cell. */
async function endPrograms(folder: string): Promise<void> {
  const programs = () =>
    readdirSync('/proc')
      .filter((entry) => /^\d+$/.test(entry))
      .filter((pid) => /^\S*(node|mariadbd)\0/.test(commandOf(pid)) && commandOf(pid).includes(folder));
  for (const pid of programs()) process.kill(Number(pid), 'SIGKILL');
  await until('the programs of a crashed test are gone', () => programs().length === 0);
}

/** Destroys the containers of the cells whose settings are in a folder, and what their gardens put on the machine. */
export async function emptyCells(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  for (const file of readdirSync(folder).filter((entry) => /^cell-.*\.yaml$/.test(entry))) {
    await emptyCell(parse(readFileSync(join(folder, file), 'utf8')));
  }
}

async function emptyCell(
  config: Record<'cellId' | 'dataDir' | 'rootFsDir' | 'subnet' | 'bridge', string>,
): Promise<void> {
  const { cellId, dataDir, rootFsDir, subnet, bridge } = config;
  if (!existsSync(dataDir)) return;
  const garden = new OciGarden({ cellId, dataDir, rootFsDir, subnet, bridge, log: silentLogger, clock: systemClock });
  await garden.start();
  for (const container of garden.list()) await garden.destroy(container.handle);
  await garden.dissolve();
  await garden.close();
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

/** Tells a process from a later one with its number. */
function startTime(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19];
  } catch {
    return undefined;
  }
}
