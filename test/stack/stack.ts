import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { buildBusyboxRootFs } from '@rivera/cells/garden/rootfs/busybox';
import { unmountBelow } from '@rivera/cells/kernel/mounts';
import { Authority } from '@rivera/kit/tls/authority';
import { type Identity, loadIdentity } from '@rivera/kit/tls/identity';
import { connect, type RiveraClient } from '@rivera/sdk/client';
import { PrivateMariaDb } from '@rivera/server/database/private-mariadb';
import { emptyCells, newStackFolder, sweepLeftovers } from './leftovers.js';
import { Program } from './program.js';
import { until } from './until.js';

export interface StackOptions {
  readonly servers?: number;
  readonly cells?: number;
  /** False: faster, and as good for tests that do not pull the machine's plug. */
  readonly durable?: boolean;
  /** A database that the test has started, and ends; default: a MariaDB of the stack's own. */
  readonly databaseUrl?: string;
  /** Laid over each server's configuration. */
  readonly server?: object;
  /** Laid over each cell's configuration. */
  readonly cell?: object;
}

/** Networks of cells must not overlap with those of other tests on this machine, living or dead. */
let networks = process.pid;

function freeNetwork(): number {
  const taken = execFileSync('ip', ['-o', '-4', 'addr'], { encoding: 'utf8' });
  for (let tries = 0; tries < 200; tries++) {
    networks = (networks + 7) % 200;
    if (!taken.includes(` 10.241.${networks}.`)) return networks;
  }
  throw new Error('no free network for a cell: there are too many bridges on this machine');
}

/**
 * The whole platform as separate processes on this machine: MariaDB, servers, cells with real containers. Everything is in one
 * temporary folder and gone after `close`.
 */
export class Stack {
  readonly servers: Program[] = [];
  readonly cells: Program[] = [];
  readonly addresses: string[] = [];
  private readonly clients: RiveraClient[] = [];

  private constructor(
    readonly folder: string,
    private readonly options: StackOptions,
    readonly authority: Authority,
    private readonly mariadb: PrivateMariaDb | undefined,
  ) {}

  static async start(options: StackOptions = {}): Promise<Stack> {
    await sweepLeftovers();
    const folder = newStackFolder();
    const authority = await Authority.open(join(folder, 'ca'));
    const mariadb =
      options.databaseUrl === undefined
        ? await PrivateMariaDb.start({ folder: join(folder, 'db'), durable: options.durable ?? false })
        : undefined;
    const stack = new Stack(folder, options, authority, mariadb);
    try {
      for (let i = 0; i < (options.servers ?? 1); i++) stack.addresses.push(`127.0.0.1:${await freePort()}`);
      for (let i = 0; i < stack.addresses.length; i++) await stack.addServer(i);
      await stack.untilLed();
      if ((options.cells ?? 1) > 0) await buildBusyboxRootFs(join(folder, 'rootfs', 'busybox'));
      for (let i = 0; i < (options.cells ?? 1); i++) await stack.startCell({});
      for (const cell of stack.cells) await stack.untilThere(cell);
      return stack;
    } catch (error) {
      await stack.close();
      throw error;
    }
  }

  get databasePid(): number {
    return this.ownDatabase().pid;
  }

  get databaseUrl(): string {
    return this.options.databaseUrl ?? this.ownDatabase().url;
  }

  /** kill -9 of mariadbd. */
  async killDatabase(): Promise<void> {
    const { pid } = this.ownDatabase();
    process.kill(pid, 'SIGKILL');
    await until('mariadbd is gone', () => !isAlive(pid));
  }

  async startDatabase(): Promise<void> {
    await this.ownDatabase().ensureRunning();
  }

  /** One more cell. The environment adds to what it gets. */
  async addCell(extra: object = {}, env: NodeJS.ProcessEnv = {}): Promise<Program> {
    const cell = await this.startCell(extra, env);
    await this.untilThere(cell);
    return cell;
  }

  private async startCell(extra: object, env: NodeJS.ProcessEnv = {}): Promise<Program> {
    const number = this.cells.length + 1;
    const network = freeNetwork();
    const cellId = `cell-${number}`;
    const first = 20_000 + network * 200;
    const cell = new Program(cellId, 'cell', this.folder, {
      cellId,
      servers: this.addresses,
      listen: `127.0.0.1:${await freePort()}`,
      dataDir: join(this.folder, cellId),
      rootFsDir: join(this.folder, 'rootfs'),
      subnet: `10.241.${network}.0/24`,
      bridge: `rvt${process.pid % 100_000}x${number}`.slice(0, 15),
      // Tests have processes in containers tell them things.
      hostServices: ['tcp/1024-65535'],
      portRange: { first, last: first + 199 },
      memoryMb: 4_096,
      diskMb: 16_384,
      stopContainersOnExit: true,
      tls: await this.tls('cell', cellId),
      ...this.options.cell,
      ...extra,
    });
    this.cells.push(cell);
    cell.start(env);
    return cell;
  }

  async client(role: 'client' | 'reader' = 'client'): Promise<RiveraClient> {
    const { ca, cert, key } = await this.tls(role, `test-${role}`);
    const client = connect({ servers: this.addresses, tls: { caFile: ca, certFile: cert, keyFile: key } });
    this.clients.push(client);
    return client;
  }

  async identity(role: 'server' | 'cell' | 'client' | 'reader', name: string): Promise<Identity> {
    return loadIdentity(await this.tls(role, name));
  }

  /** Environment with which the `rivera` command finds this stack. */
  async cliEnvironment(): Promise<NodeJS.ProcessEnv> {
    const { ca, cert, key } = await this.tls('client', 'test-client');
    return {
      ...process.env,
      RIVERA_SERVERS: this.addresses.join(','),
      RIVERA_CA: ca,
      RIVERA_CERT: cert,
      RIVERA_KEY: key,
      NO_COLOR: '1',
    };
  }

  /** Resolves when a server leads. */
  async untilLed(): Promise<void> {
    const client = await this.client();
    await until('a server leads', async () => {
      for await (const _ of client.domains.list()) break;
      return true;
    });
  }

  /** What the processes wrote, for a failing test. */
  logs(): string {
    return [...this.servers, ...this.cells].map((each) => `--- ${each.name}\n${each.log().slice(-4_000)}`).join('\n');
  }

  async close(): Promise<void> {
    for (const client of this.clients) client.close();
    const orphaned = this.cells.some((cell) => !cell.running);
    // All are ended before one that did not end by itself is told of.
    const cells = await Promise.allSettled(this.cells.map((cell) => cell.stop()));
    const servers = await Promise.allSettled(this.servers.map((server) => server.stop(10_000)));
    await this.mariadb?.stop();
    // What a cell left that a test ended the hard way.
    if (orphaned) await emptyCells(this.folder);
    // A test may have given a cell a disk of its own.
    await unmountBelow(this.folder);
    await rm(this.folder, { recursive: true, force: true });
    for (const stopped of [...cells, ...servers]) if (stopped.status === 'rejected') throw stopped.reason;
  }

  /** Resolves when servers know of a new cell: work that is desired before waits for it only so long. */
  private async untilThere(cell: Program): Promise<void> {
    const told = ['session with the BBS is open', 'bidding'].map((each) => `"msg":"${each}"`);
    const isThere = () => told.every((each) => cell.log().includes(each));
    await until(`${cell.name} is there`, isThere).catch((cause: Error) => {
      throw new Error(`${cause.message}\n${this.logs()}`, { cause });
    });
  }

  private ownDatabase(): PrivateMariaDb {
    if (this.mariadb === undefined) throw new Error('this stack has no database of its own');
    return this.mariadb;
  }

  private async addServer(i: number): Promise<void> {
    const name = `server-${i + 1}`;
    const server = new Program(name, 'server', this.folder, {
      name,
      listen: this.addresses[i],
      servers: this.addresses,
      database: { url: this.databaseUrl },
      tls: await this.tls('server', name),
      ...this.options.server,
    });
    this.servers.push(server);
    server.start();
  }

  private tls(role: 'server' | 'cell' | 'client' | 'reader', name: string) {
    const folder = join(this.folder, 'tls');
    mkdirSync(folder, { recursive: true });
    return this.authority.writeIdentity(folder, { role, name });
  }
}

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
