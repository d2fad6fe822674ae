/** For tests alone: one node of a MariaDB Galera cluster on this machine. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { chown, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { serverArguments } from './mariadb-arguments.js';
import { installDataFolder, locateMariaDb, type MariaDbPrograms } from './mariadb-programs.js';
import { Database } from './pool.js';

/** All on 127.0.0.1. */
export interface GaleraPorts {
  readonly mysql: number;
  /** Group communication. */
  readonly group: number;
  /** Where missed transactions are received (IST). */
  readonly increments: number;
  /** Where a whole copy is received (SST). */
  readonly copy: number;
}

export interface GaleraNodeOptions {
  readonly name: string;
  readonly folder: string;
  /** The shared object of galera-4. */
  readonly provider: string;
  /** Where the scripts are that copy data. */
  readonly scripts: string;
  readonly ports: GaleraPorts;
  /** Group communication of every node, this one included. */
  readonly groupPorts: readonly number[];
}

/** What a node thinks, as far as tests look at it. */
export interface GaleraStatus {
  readonly wsrep_cluster_status?: string;
  /** OFF: every statement on tables is refused. */
  readonly wsrep_ready?: string;
  readonly wsrep_local_state_comment?: string;
  readonly wsrep_cluster_size?: string;
  /** Counts the cluster's changes of membership. */
  readonly wsrep_cluster_conf_id?: string;
}

/** A node on a slow machine, with its copy of the data to fetch first. */
const SYNC_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;
const RECOVER_TIMEOUT_MS = 30_000;
const LOG_TAIL_LINES = 25;
/**
 * Root's servers run as `nobody`: copies of the data are received by rsync's daemon, which gives root up for that user before it
 * writes.
 */
const NOBODY = { uid: 65_534, gid: 65_534 };
const AS_USER = process.getuid?.() === 0 ? NOBODY : {};

export class GaleraNode {
  readonly ports: GaleraPorts;
  private readonly data: string;
  private readonly socket: string;
  private readonly logFile: string;
  private child: ChildProcess | undefined;
  private exited: Promise<void> = Promise.resolve();

  constructor(private readonly options: GaleraNodeOptions) {
    this.ports = options.ports;
    this.data = join(options.folder, 'data');
    this.socket = join(options.folder, 'db.sock');
    this.logFile = join(options.folder, 'node.log');
  }

  get name(): string {
    return this.options.name;
  }

  get running(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Over the socket, which only this user reaches. */
  adminUrl(database = ''): string {
    return `mysql://root@localhost/${database}?socketPath=${encodeURIComponent(this.socket)}`;
  }

  /** Begins to run; `untilSynced` tells when it takes part. A bootstrap makes a cluster of which this is the first node. */
  async start(how: { bootstrap?: boolean } = {}): Promise<void> {
    if (this.running) throw new Error(`${this.name} runs already`);
    const programs = await locateMariaDb();
    await mkdir(this.options.folder, { recursive: true, mode: 0o700 });
    await installDataFolder(programs, this.data);
    await handOver(this.options.folder);
    const position = how.bootstrap === true ? undefined : await this.recover(programs);
    await rm(this.socket, { force: true });
    const further = position === undefined ? [] : [`--wsrep-start-position=${position}`];
    this.spawn(programs, [...(await this.arguments(how.bootstrap ?? false)), ...further]);
  }

  /** kill -9 of the server and of what it started to send or receive copies. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }

  pause(): void {
    this.signal('SIGSTOP');
  }

  resume(): void {
    this.signal('SIGCONT');
  }

  /** SIGTERM, a bounded wait, SIGKILL. */
  async stop(): Promise<void> {
    if (!this.running) return;
    this.resume();
    this.signal('SIGTERM');
    const late = setTimeout(() => this.signal('SIGKILL'), STOP_TIMEOUT_MS);
    await this.exited;
    clearTimeout(late);
    // What it started may outlive it.
    this.signalGroup('SIGKILL');
  }

  /** Resolves when the node is part of the primary component and has all that was committed. */
  async untilSynced(timeoutMs = SYNC_TIMEOUT_MS): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const status = await this.status().catch(() => undefined);
      if (status?.wsrep_local_state_comment === 'Synced' && status.wsrep_cluster_status === 'Primary') return;
      if (!this.running)
        throw new Error(`${this.name} ended while it joined; the end of its log:\n${await this.logTail()}`);
      if (performance.now() > deadline) {
        throw new Error(
          `${this.name} was not synced within ${timeoutMs} ms; the end of its log:\n${await this.logTail()}`,
        );
      }
      await sleep(50);
    }
  }

  /** Galera's status variables. */
  async status(): Promise<GaleraStatus> {
    const rows = await this.administer<{ Variable_name: string; Value: string }[]>("SHOW STATUS LIKE 'wsrep%'");
    return Object.fromEntries(rows.map((row) => [row.Variable_name, row.Value]));
  }

  /** A statement as root, on a connection of its own. */
  async administer<T>(sql: string, database = 'mysql'): Promise<T> {
    const admin = new Database({
      url: this.adminUrl(database),
      connections: 1,
      connectTimeoutMs: 2_000,
      queryTimeoutMs: 10_000,
    });
    return admin.query<T>(sql).finally(() => admin.close());
  }

  async log(): Promise<string> {
    return readFile(this.logFile, 'utf8').catch(() => '(no log)');
  }

  private async logTail(): Promise<string> {
    return (await this.log()).trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
  }

  private signal(name: NodeJS.Signals): void {
    if (this.running) this.signalGroup(name);
  }

  /** The node leads a process group, to which the scripts that copy data belong. */
  private signalGroup(name: NodeJS.Signals): void {
    if (this.child?.pid === undefined) return;
    try {
      process.kill(-this.child.pid, name);
    } catch {
      // The whole group has gone.
    }
  }

  private spawn(programs: MariaDbPrograms, args: string[]): void {
    const log = openSync(this.logFile, 'a', 0o600);
    const child = spawn(programs.server, args, {
      cwd: this.options.folder,
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...process.env, PATH: `${this.options.scripts}:${process.env.PATH ?? ''}` },
      ...AS_USER,
    });
    closeSync(log);
    this.child = child;
    this.exited = new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
  }

  /**
   * How far this node's data goes, which a node that was killed has to read from its tables before it may ask for the rest. Debian's
   * service does the same with `galera_recovery`.
   */
  private async recover(programs: MariaDbPrograms): Promise<string | undefined> {
    const saved = await readFile(join(this.data, 'grastate.dat'), 'utf8').catch(() => undefined);
    // Never joined, or ended in order and knows.
    if (saved === undefined || !/^seqno:\s*-1$/m.test(saved)) return undefined;
    const before = (await this.log()).length;
    this.spawn(programs, [...(await this.arguments(false)), '--wsrep-recover']);
    const late = setTimeout(() => this.signal('SIGKILL'), RECOVER_TIMEOUT_MS);
    await this.exited;
    clearTimeout(late);
    return /WSREP: Recovered position: (\S+)/.exec((await this.log()).slice(before))?.[1];
  }

  private async arguments(bootstrap: boolean): Promise<string[]> {
    const { folder, name, ports, provider, groupPorts } = this.options;
    const { data, socket } = this;
    const base = await serverArguments({
      folder,
      data,
      socket,
      pid: join(folder, 'db.pid'),
      bufferPoolMb: 64,
      durable: false,
    });
    const others = groupPorts.map((port) => `127.0.0.1:${port}`).join(',');
    return [
      ...base,
      '--skip-networking=0',
      '--bind-address=127.0.0.1',
      `--port=${ports.mysql}`,
      '--binlog-format=ROW',
      '--innodb-autoinc-lock-mode=2',
      '--wsrep-on=ON',
      `--wsrep-provider=${provider}`,
      '--wsrep-cluster-name=rivera-test',
      `--wsrep-cluster-address=gcomm://${bootstrap ? '' : others}`,
      `--wsrep-node-name=${name}`,
      `--wsrep-node-address=127.0.0.1:${ports.group}`,
      `--wsrep-node-incoming-address=127.0.0.1:${ports.mysql}`,
      '--wsrep-sst-method=rsync',
      `--wsrep-sst-receive-address=127.0.0.1:${ports.copy}`,
      `--wsrep-provider-options=${[
        `gmcast.listen_addr=tcp://127.0.0.1:${ports.group}`,
        `ist.recv_addr=127.0.0.1:${ports.increments}`,
        'gcache.size=32M',
        // A node that is silent is put out after this; production keeps the default of 5 s and 15 s.
        'evs.keepalive_period=PT1S',
        'evs.suspect_timeout=PT3S',
        'evs.inactive_timeout=PT8S',
        'evs.inactive_check_period=PT0.5S',
      ].join(';')}`,
    ];
  }
}

/** Everything in the folder, so that the node's user may write there. */
async function handOver(folder: string): Promise<void> {
  if (!('uid' in AS_USER)) return;
  const { uid, gid } = NOBODY;
  await chown(folder, uid, gid);
  for (const name of await readdir(folder, { recursive: true })) await chown(join(folder, name), uid, gid);
}
