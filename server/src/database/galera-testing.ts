/** For tests alone: a MariaDB Galera cluster on this machine, whose nodes can be killed, paused and started again. */
import { randomBytes } from 'node:crypto';
import { access, chmod, copyFile, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GaleraNode, type GaleraPorts } from './galera-node.js';
import { locate } from './mariadb-programs.js';
import { processIdentity } from './process-identity.js';

const FOLDER_PREFIX = 'rivera-test-galera-';
const PROVIDERS = [
  '/usr/lib/galera/libgalera_smm.so',
  '/usr/lib/libgalera_smm.so',
  '/usr/lib64/galera-4/libgalera_smm.so',
];
/** What copies all data to a node. In Debian part of mariadb-server, whose installation would start a service. */
const COPY_SCRIPTS = ['wsrep_sst_rsync', 'wsrep_sst_common'];
const PORTS_PER_NODE = 4;
const END_TIMEOUT_MS = 10_000;

export interface GaleraClusterOptions {
  /** Default 3. */
  readonly nodes?: number;
  /** Name of the database that is made. Default `rivera`. */
  readonly database?: string;
}

export class GaleraCluster {
  private readonly user = { name: 'rivera', password: randomBytes(12).toString('hex') };

  private constructor(
    readonly folder: string,
    readonly nodes: readonly GaleraNode[],
    private readonly database: string,
  ) {}

  /** Starts the nodes one after the other, each with a copy of the data of one that runs. */
  static async start(options: GaleraClusterOptions = {}): Promise<GaleraCluster> {
    const provider = await locateProvider();
    await removeStaleClusters();
    const folder = await mkdtemp(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
    // Nodes may run as another user; each has a folder that is closed to everybody else.
    await chmod(folder, 0o711);
    const scripts = join(folder, 'bin');
    await copyScripts(scripts);
    const ports = await freePorts(options.nodes ?? 3);
    const groupPorts = ports.map((each) => each.group);
    const nodes = ports.map((each, position) => {
      const name = `node-${position + 1}`;
      return new GaleraNode({ name, folder: join(folder, name), provider, scripts, ports: each, groupPorts });
    });
    const cluster = new GaleraCluster(folder, nodes, options.database ?? 'rivera');
    try {
      await cluster.assemble();
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  /** Every node, the given one first; for `new Database`. */
  url(first = 0): string {
    const order = [...this.nodes.slice(first), ...this.nodes.slice(0, first)];
    return this.urlOf(...order);
  }

  urlOf(...nodes: GaleraNode[]): string {
    const { name, password } = this.user;
    const hosts = nodes.map((node) => `127.0.0.1:${node.ports.mysql}`).join(',');
    return `mysql://${name}:${password}@${hosts}/${this.database}`;
  }

  /** Resolves when all nodes are synced and agree that all of them are there. One that was paused believes the old state for a while. */
  async untilWhole(timeoutMs = 60_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const states = await Promise.all(this.nodes.map((node) => node.status().catch(() => undefined)));
      const views = new Set(states.map((state) => state?.wsrep_cluster_conf_id));
      const whole = states.every(
        (state) =>
          state?.wsrep_cluster_status === 'Primary' &&
          state.wsrep_local_state_comment === 'Synced' &&
          Number(state.wsrep_cluster_size) === this.nodes.length,
      );
      if (whole && views.size === 1) return;
      if (performance.now() > deadline) {
        const seen = states.map((state) => `${state?.wsrep_cluster_status}/${state?.wsrep_local_state_comment}`);
        throw new Error(`the cluster was not whole within ${timeoutMs} ms: ${seen.join(', ')}`);
      }
      await sleep(100);
    }
  }

  /** Ends all nodes and removes their data. */
  async close(): Promise<void> {
    // Nobody needs what they have: no reason to let them hand over in order.
    await Promise.all(this.nodes.map((node) => node.kill()));
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  private async assemble(): Promise<void> {
    const [first, ...others] = this.nodes;
    if (first === undefined) throw new RangeError('a cluster has at least one node');
    await first.start({ bootstrap: true });
    await first.untilSynced();
    const { name, password } = this.user;
    // The socket's folder is closed to others, a port is not.
    await first.administer("DROP USER IF EXISTS root@'127.0.0.1', root@'::1'");
    await first.administer(`CREATE DATABASE \`${this.database}\` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`);
    await first.administer(`CREATE USER '${name}'@'127.0.0.1' IDENTIFIED BY '${password}'`);
    await first.administer(`GRANT ALL ON *.* TO '${name}'@'127.0.0.1'`);
    for (const node of others) {
      await node.start();
      await node.untilSynced();
    }
  }
}

async function locateProvider(): Promise<string> {
  for (const path of PROVIDERS) {
    const found = await access(path).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  throw new Error('Galera is not installed on this machine; on Debian: apt-get install galera-4 rsync');
}

/** To where every user may run them. */
async function copyScripts(to: string): Promise<void> {
  await mkdir(to, { mode: 0o755 });
  for (const name of COPY_SCRIPTS) {
    const found = await locate(name);
    if (found === undefined) {
      throw new Error(
        `${name} is not on the PATH; Debian's package mariadb-server has it, and scripts/test.sh fetches it`,
      );
    }
    await copyFile(found, join(to, name));
    await chmod(join(to, name), 0o755);
  }
}

/** Ends the nodes, and removes the folders, of test processes that were killed. */
export async function removeStaleClusters(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(FOLDER_PREFIX)) continue;
    const maker = Number.parseInt(name.slice(FOLDER_PREFIX.length), 10);
    if (processIdentity(maker) !== undefined) continue;
    const folder = join(tmpdir(), name);
    await endAllIn(folder);
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

/** Servers, and what they started to copy data. */
const OF_A_CLUSTER = /\b(mariadbd|mysqld|rsync|wsrep_sst\w*)\b/;

/** Everything of a cluster that was started with a path in the folder. */
async function endAllIn(folder: string): Promise<void> {
  const deadline = performance.now() + END_TIMEOUT_MS;
  for (;;) {
    const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
    const left = pids.filter((pid) => {
      const commandLine = processIdentity(pid)?.commandLine ?? '';
      return commandLine.includes(`${folder}/`) && OF_A_CLUSTER.test(commandLine);
    });
    if (left.length === 0) return;
    if (performance.now() > deadline) throw new Error(`processes of a crashed test in ${folder} can't be ended`);
    for (const pid of left) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended by itself.
      }
    }
    await sleep(20);
  }
}

/** Asked for all at once, so that no port is given twice. */
async function freePorts(nodes: number): Promise<GaleraPorts[]> {
  const probes = await Promise.all(Array.from({ length: nodes * PORTS_PER_NODE }, () => listening()));
  const numbers = probes.map((probe) => {
    const address = probe.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))));
  return Array.from({ length: nodes }, (_, node) => {
    const [mysql = 0, group = 0, increments = 0, copy = 0] = numbers.slice(node * PORTS_PER_NODE);
    return { mysql, group, increments, copy };
  });
}

function listening(): Promise<Server> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => resolve(probe));
  });
}
