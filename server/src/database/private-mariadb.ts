import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { claimFolder, disclaimFolder } from './folder-owner.js';
import { serverArguments } from './mariadb-arguments.js';
import { installDataFolder, locateMariaDb, type MariaDbPrograms } from './mariadb-programs.js';
import { Database } from './pool.js';
import { isRunning, type ProcessIdentity, processIdentity } from './process-identity.js';

export interface PrivateMariaDbOptions {
  /** Where everything is kept; made when missing. */
  folder: string;
  /** Name of the database; made when missing. Default `rivera`. */
  database?: string;
  /** Default 256 MiB. */
  bufferPoolMb?: number;
  /** False: what is committed may be lost with the machine. For tests. Default true. */
  durable?: boolean;
  /** Largest statement. Default 64 MiB. */
  maxPacketMb?: number;
  /** Default 60 s; recovery after a crash of a large database may want more. */
  readyTimeoutMs?: number;
  /** How long a stop may take before the server is killed. Default 30 s. */
  stopTimeoutMs?: number;
}

/** What a failed start says about itself. */
export class MariaDbStartError extends Error {
  override name = 'MariaDbStartError';
}

/** Longest path of a unix socket: `sun_path` holds 108 bytes with its closing zero. */
const MAX_SOCKET_PATH_BYTES = 107;
const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const LOG_TAIL_LINES = 15;
const MAX_LOG_BYTES = 10 * 1024 * 1024;

/**
 * A MariaDB server of one's own: a child process that listens on a unix socket in a folder which only its user may enter, and
 * therefore needs no password. It outlives a parent that is killed, and is adopted by the next one.
 */
export class PrivateMariaDb {
  private stopped = false;

  private constructor(
    /** For `new Database`. */
    readonly url: string,
    /** The server was found running, left by a parent that died. */
    readonly adopted: boolean,
    private server: ProcessIdentity,
    private readonly paths: Paths,
    private readonly options: PrivateMariaDbOptions,
  ) {}

  get pid(): number {
    return this.server.pid;
  }

  /**
   * Starts the server, or takes over one that was left running, and waits until it answers.
   * @throws MariaDbStartError with the end of the server's log; FolderInUseError when a living program owns the folder
   */
  static async start(options: PrivateMariaDbOptions): Promise<PrivateMariaDb> {
    const paths = pathsIn(options.folder);
    await mkdir(paths.folder, { recursive: true, mode: 0o700 });
    await claimFolder(paths.folder);
    try {
      const left = await runningServer(paths);
      const adopted = left !== undefined && (await adopt(left, paths, options));
      const server = adopted ? left : await spawnServer(paths, options);
      const name = options.database ?? 'rivera';
      if (!adopted) await waitUntilReady(server, paths, options.readyTimeoutMs ?? READY_TIMEOUT_MS);
      await createDatabase(paths, name);
      return new PrivateMariaDb(urlOf(paths, name), adopted, server, paths, options);
    } catch (error) {
      await disclaimFolder(paths.folder);
      throw error;
    }
  }

  isRunning(): boolean {
    return isRunning(this.server);
  }

  /**
   * Starts the server again when it has died. One call at a time.
   * @returns whether it had
   */
  async ensureRunning(): Promise<boolean> {
    if (this.stopped || this.isRunning()) return false;
    this.server = await spawnServer(this.paths, this.options);
    await waitUntilReady(this.server, this.paths, this.options.readyTimeoutMs ?? READY_TIMEOUT_MS);
    return true;
  }

  /** Asks the server to end, waits, and kills it when it doesn't; frees the folder for another owner. */
  async stop(): Promise<void> {
    this.stopped = true;
    await stopServer(this.server, this.options.stopTimeoutMs ?? STOP_TIMEOUT_MS);
    await disclaimFolder(this.paths.folder);
  }
}

interface Paths {
  folder: string;
  data: string;
  socket: string;
  pid: string;
  log: string;
}

function pathsIn(folder: string): Paths {
  const root = resolve(folder);
  const socket = join(root, 'mariadb.sock');
  const bytes = Buffer.byteLength(socket);
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new MariaDbStartError(
      `the path of the database's socket, ${socket}, has ${bytes} bytes, but the system allows ${MAX_SOCKET_PATH_BYTES}: choose a shorter data folder`,
    );
  }
  return {
    folder: root,
    data: join(root, 'data'),
    socket,
    pid: join(root, 'mariadb.pid'),
    log: join(root, 'mariadb.log'),
  };
}

function urlOf(paths: Paths, database: string): string {
  return `mysql://root@localhost/${encodeURIComponent(database)}?socketPath=${encodeURIComponent(paths.socket)}`;
}

/** A server on this folder that runs without us, if there is one. */
async function runningServer(paths: Paths): Promise<ProcessIdentity | undefined> {
  const text = await readFile(paths.pid, 'utf8').catch(() => '');
  const pid = Number.parseInt(text, 10);
  if (!Number.isInteger(pid)) return undefined;
  const identity = processIdentity(pid);
  // Process ids come round again: it must also be a server on this very folder.
  return identity?.commandLine.includes(`--datadir=${paths.data}`) === true ? identity : undefined;
}

/** @returns false when it was on its way out, and has gone now */
async function adopt(server: ProcessIdentity, paths: Paths, options: PrivateMariaDbOptions): Promise<boolean> {
  try {
    await waitUntilReady(server, paths, options.readyTimeoutMs ?? READY_TIMEOUT_MS);
    return true;
  } catch (error) {
    if (isRunning(server)) throw error;
    return false;
  }
}

async function spawnServer(paths: Paths, options: PrivateMariaDbOptions): Promise<ProcessIdentity> {
  const programs = await locateMariaDb();
  await installDataFolder(programs, paths.data);
  await rotateLog(paths.log);
  await rm(paths.socket, { force: true });
  await rm(paths.pid, { force: true });
  const server = await spawnDetached(programs, paths, await serverArguments({ ...options, ...paths }));
  // The server writes this too, but only when it is ready; a parent that dies before that must leave a trace.
  await writeFile(paths.pid, `${server.pid}\n`, { mode: 0o600 });
  return server;
}

function spawnDetached(programs: MariaDbPrograms, paths: Paths, args: string[]): Promise<ProcessIdentity> {
  const log = openSync(paths.log, 'a', 0o600);
  try {
    // In a session of its own, so that Ctrl-C in the terminal reaches the parent alone and it can end things in order.
    const child = spawn(programs.server, args, { cwd: paths.folder, detached: true, stdio: ['ignore', log, log] });
    child.unref();
    return new Promise((resolveIdentity, reject) => {
      child.once('error', (cause) => reject(new MariaDbStartError(`${programs.server} can't be started`, { cause })));
      child.once('spawn', () => {
        const identity = child.pid === undefined ? undefined : processIdentity(child.pid);
        if (identity === undefined) reject(new MariaDbStartError(`${programs.server} ended at once`));
        else resolveIdentity(identity);
      });
    });
  } finally {
    closeSync(log);
  }
}

async function waitUntilReady(server: ProcessIdentity, paths: Paths, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if (await answers(paths)) return;
    if (!isRunning(server)) {
      throw new MariaDbStartError(
        `the database server ended while it started; the end of ${paths.log}:\n${await logTail(paths)}`,
      );
    }
    if (performance.now() > deadline) {
      await stopServer(server, 5_000);
      throw new MariaDbStartError(
        `the database server didn't answer within ${timeoutMs} ms; the end of ${paths.log}:\n${await logTail(paths)}`,
      );
    }
    await sleep(25);
  }
}

async function answers(paths: Paths): Promise<boolean> {
  const present = await stat(paths.socket).catch(() => undefined);
  if (present === undefined) return false;
  const database = new Database({
    url: urlOf(paths, ''),
    connections: 1,
    connectTimeoutMs: 1_000,
    queryTimeoutMs: 1_000,
  });
  try {
    await database.query('SELECT 1');
    return true;
  } catch {
    // Not yet: the caller asks again until its deadline, and then quotes the log.
    return false;
  } finally {
    await database.close();
  }
}

async function createDatabase(paths: Paths, name: string): Promise<void> {
  const database = new Database({ url: urlOf(paths, ''), connections: 1 });
  try {
    await database.query('CREATE DATABASE IF NOT EXISTS ?? CHARACTER SET utf8mb4 COLLATE utf8mb4_bin', [name]);
  } finally {
    await database.close();
  }
}

/** SIGTERM, a bounded wait, SIGKILL. */
async function stopServer(server: ProcessIdentity, timeoutMs: number): Promise<void> {
  signal(server, 'SIGTERM');
  const deadline = performance.now() + timeoutMs;
  while (isRunning(server)) {
    if (performance.now() > deadline) signal(server, 'SIGKILL');
    await sleep(10);
  }
}

function signal(server: ProcessIdentity, name: NodeJS.Signals): void {
  if (isRunning(server)) process.kill(server.pid, name);
}

async function logTail(paths: Paths): Promise<string> {
  const text = await readFile(paths.log, 'utf8').catch(() => '(no log)');
  return text.trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
}

async function rotateLog(path: string): Promise<void> {
  const log = await stat(path).catch(() => undefined);
  if (log !== undefined && log.size > MAX_LOG_BYTES) await rename(path, `${path}.old`);
}
