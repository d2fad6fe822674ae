import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { NameLock } from '@rivera/kit/name-lock';
import { z } from 'zod';
import { localError } from '../failures.js';

/** Where the parts are reached; kept from start to start, so that addresses stay what they were. */
const placesSchema = z.strictObject({
  /** Which share of this machine's networks and ports is ours. */
  slot: z.number().int().min(0),
  serverPort: z.number().int().min(1).max(65_535),
  /** Absent in files of before SSH. */
  sshPort: z.number().int().min(1).max(65_535).optional(),
  cellPorts: z.array(z.number().int().min(1).max(65_535)),
});
export type Places = Required<z.infer<typeof placesSchema>>;

/** So many `rivera up` can run side by side on one machine. */
const SLOTS = 16;
/** Cells of one `rivera up`, at most: each has a /24 of the slot's 16. */
export const MOST_CELLS = 16;
/** Where the reference's tools expect the server and the first cell. */
const FIRST_SERVER_PORT = 8889;
const FIRST_CELL_PORT = 1801;
const FIRST_SSH_PORT = 2222;

/** What one cell gets of the machine's network. */
export interface CellNetwork {
  bridge: string;
  subnet: string;
  portRange: { first: number; last: number };
}

/**
 * Networks and host ports of a cell. Slot 0, which the only `rivera up` of a machine gets, has the reference's range of ports;
 * the others share what lies below the ephemeral ports.
 */
export function cellNetwork(slot: number, index: number, cells: number): CellNetwork {
  const [first, size] = slot === 0 ? [61_001, 4_534] : [10_000 + (slot - 1) * 1_500, 1_500];
  const share = Math.floor(size / cells);
  return {
    bridge: `rivera${slot}-${index}`,
    subnet: `10.213.${slot * MOST_CELLS + index}.0/24`,
    portRange: { first: first + index * share, last: first + (index + 1) * share - 1 },
  };
}

/** Takes a slot and ports: those of the last start if they are free, else others. */
export async function takePlaces(file: string, cells: number): Promise<{ places: Places; release(): Promise<void> }> {
  const last = readPlaces(file);
  const { slot, lock } = await takeSlot(last?.slot ?? 0);
  const taken = new Set<number>();
  const port = async (wanted: number) => {
    const found = await freePort(wanted, taken);
    taken.add(found);
    return found;
  };
  const serverPort = await port(last?.serverPort ?? FIRST_SERVER_PORT);
  const sshPort = await port(last?.sshPort ?? FIRST_SSH_PORT);
  const cellPorts: number[] = [];
  for (let i = 0; i < cells; i++) cellPorts.push(await port(last?.cellPorts[i] ?? FIRST_CELL_PORT + i));
  // Cells that are not started this time keep their ports for the next.
  const places: Places = {
    slot,
    serverPort,
    sshPort,
    cellPorts: [...cellPorts, ...(last?.cellPorts.slice(cells) ?? [])],
  };
  writeFileSync(file, `${JSON.stringify(places)}\n`, { mode: 0o600 });
  return { places, release: () => lock.release() };
}

async function takeSlot(wanted: number): Promise<{ slot: number; lock: NameLock }> {
  for (let i = 0; i < SLOTS; i++) {
    const slot = (wanted + i) % SLOTS;
    const lock = await NameLock.take('slot', String(slot));
    if (lock !== undefined) return { slot, lock };
  }
  throw localError(`${SLOTS} Riveras run on this machine already`, ['Stop one of them first.']);
}

function readPlaces(file: string): z.infer<typeof placesSchema> | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return placesSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    // Cut off by a crash: addresses change once, nothing else is lost.
    return undefined;
  }
}

async function freePort(wanted: number, taken: ReadonlySet<number>): Promise<number> {
  const isFree = !taken.has(wanted) && (await listens(wanted)) !== undefined;
  if (isFree) return wanted;
  const any = await listens(0);
  if (any === undefined || taken.has(any)) throw localError('this machine has no free port');
  return any;
}

async function listens(port: number): Promise<number | undefined> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      const found = typeof address === 'object' && address !== null ? address.port : undefined;
      server.close(() => resolve(found));
    });
  });
}
