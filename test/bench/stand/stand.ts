import type { RiveraClient } from '@rivera/sdk/client';
import { freePort, Stack } from '../../stack/stack.js';
import { until } from '../../stack/until.js';
import { AdminPort } from './admin-port.js';
import { LoadCell } from './load-cell.js';
import { isInterrupted, unwinding } from './unwinding.js';
import { WriteProbe } from './write-probe.js';

export interface StandOptions {
  readonly servers?: number;
  /** With real containers. */
  readonly cells?: number;
  /** Laid over each server's configuration. */
  readonly server?: object;
}

/** A platform to be measured: server processes and a MariaDB with durable settings, gone when the measuring is over. */
export interface Stand {
  readonly stack: Stack;
  readonly client: RiveraClient;
  /** Of the server, if there is one alone. */
  readonly admin: AdminPort;
  /** The processes that every benchmark has. */
  readonly processes: Readonly<Record<'server' | 'database' | 'driver', number>>;
}

/** Only what the BBS needs. */
export const BBS_ALONE = { roles: ['bbs', 'locket'] } as const;

/** What is measured ends with the measuring: also when it fails, and when the program is interrupted. */
export async function withStand<T>(options: StandOptions, measure: (stand: Stand) => Promise<T>): Promise<T> {
  const adminPort = await freePort();
  // Of two servers on one machine only one could have the port.
  const admin = { port: (options.servers ?? 1) > 1 ? 0 : adminPort };
  const starting = Stack.start({
    servers: options.servers ?? 1,
    cells: options.cells ?? 0,
    durable: true,
    server: { admin, ...options.server },
  });
  // A start that fails clears up behind itself.
  const close = () =>
    starting.then(
      (stack) => stack.close(),
      () => undefined,
    );
  return unwinding(close, async () => {
    const stack = await starting;
    const client = await stack.client();
    await until('the server leads', () => client.domains.upsert('bench').then(() => true));
    const server = stack.servers[0]?.pid ?? 0;
    const processes = { server, database: stack.databasePid, driver: process.pid };
    try {
      return await measure({ stack, client, admin: new AdminPort(`127.0.0.1:${adminPort}`), processes });
    } catch (error) {
      // The folder goes, and what the servers said of it with it.
      if (!isInterrupted()) process.stderr.write(`${complaintsOf(stack)}\n`);
      throw error;
    }
  });
}

const MAX_COMPLAINTS = 20;

function complaintsOf(stack: Stack): string {
  const complaints = (log: string) => log.split('\n').filter((line) => /"level":"(warn|error|fatal)"/.test(line));
  return stack.servers.flatMap((server) => complaints(server.log()).slice(-MAX_COMPLAINTS)).join('\n');
}

/** Where the server answers that leads now. */
async function leaderOf(stack: Stack): Promise<string> {
  const identity = await stack.identity('client', 'probe');
  return until('one of the servers leads', async () => {
    for (const address of stack.addresses) {
      const probe = new WriteProbe(address, identity);
      try {
        if (await probe.writes()) return address;
      } finally {
        probe.close();
      }
    }
    return undefined;
  });
}

/** Opens sessions of cells that only report. */
export async function withLoadCells<T>(
  { stack }: Stand,
  count: number,
  body: (cells: readonly LoadCell[]) => Promise<T>,
): Promise<T> {
  const cells: LoadCell[] = [];
  const address = await leaderOf(stack);
  try {
    for (let i = 0; i < count; i++) {
      const cell = new LoadCell(`load-${i}`, address, await stack.identity('cell', `load-${i}`));
      cells.push(cell);
      await cell.open();
    }
    return await body(cells);
  } finally {
    for (const cell of cells) cell.close();
  }
}
