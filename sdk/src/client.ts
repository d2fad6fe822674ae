import type { Readable } from 'node:stream';
import type { ContainerTarget, ExecStart, LogEntry, LogFilter } from '@rivera/gen/rivera/rep/v1/container';
import { ActualLrps } from './api/actual-lrps.js';
import { Auction } from './api/auction.js';
import { Cells } from './api/cells.js';
import { DesiredLrps } from './api/desired-lrps.js';
import { Domains } from './api/domains.js';
import { ExecSession } from './api/exec.js';
import { type FileOptions, readFiles, writeFiles } from './api/files.js';
import { Locket } from './api/locket.js';
import { type LogOptions, logs } from './api/logs.js';
import { Ssh } from './api/ssh.js';
import { Tasks } from './api/tasks.js';
import { type WatchItem, type WatchOptions, watch } from './api/watch.js';
import type { Input } from './input.js';
import { type ConnectOptions, settle } from './options.js';
import { type Runtime, systemRuntime } from './transport/runtime.js';
import { Transport } from './transport/transport.js';

export type { RetireOptions } from './api/actual-lrps.js';
export type { DesireManyResult, UpdateOptions } from './api/desired-lrps.js';
export { ExecSession } from './api/exec.js';
export type { FileOptions } from './api/files.js';
export type { LogGap, LogOptions } from './api/logs.js';
export type { Items, ManyResult } from './api/many.js';
export type { ResolveManyResult, TaskManyResult } from './api/many-tasks.js';
export type { AddSshKeyOptions } from './api/ssh.js';
export type { RunningProgress, WaitForRunningOptions } from './api/wait-for-running.js';
export type { WaitForTaskOptions } from './api/wait-for-task.js';
export type { WaitOptions } from './api/waiting.js';
export type { WatchItem, WatchOptions } from './api/watch.js';
export type { CallOptions, Filter, Input } from './input.js';
export type { ConnectOptions, TlsFiles, TlsMaterial } from './options.js';

/**
 * Makes a client. Nothing is sent before the first call; certificates are read at once.
 * @throws InvalidRequestError when the options or the environment are not complete.
 */
export function connect(options: ConnectOptions = {}): RiveraClient {
  return new RiveraClient(options);
}

/**
 * A client of a Rivera installation. It finds the server that leads, repeats what is safe to repeat, and throws
 * {@link RiveraError}s. One client serves any number of concurrent calls; `close()` it at the end.
 */
export class RiveraClient {
  /** Work that runs at most once. */
  readonly tasks: Tasks;
  /** What should be up. */
  readonly desiredLrps: DesiredLrps;
  /** What is up. */
  readonly actualLrps: ActualLrps;
  /** Whose desired state is complete. */
  readonly domains: Domains;
  /** The machines. */
  readonly cells: Cells;
  /** What the auctioneer knows. */
  readonly auction: Auction;
  /** Locks and presences. */
  readonly locket: Locket;
  /** Where SSH is, and who gets in. */
  readonly ssh: Ssh;
  readonly #transport: Transport;

  constructor(options: ConnectOptions = {}, runtime: Runtime = systemRuntime) {
    this.#transport = new Transport(settle(options, runtime.env), runtime);
    this.tasks = new Tasks(this.#transport);
    this.desiredLrps = new DesiredLrps(this.#transport);
    this.actualLrps = new ActualLrps(this.#transport);
    this.domains = new Domains(this.#transport);
    this.cells = new Cells(this.#transport);
    this.auction = new Auction(this.#transport);
    this.locket = new Locket(this.#transport);
    this.ssh = new Ssh(this.#transport);
  }

  /**
   * Changes as they become durable, without gaps: reconnects and resumes by itself. Where that is not possible it yields
   * `reset` and a fresh snapshot. Ends when the loop is left; throws a CancelledError when the signal aborts.
   */
  watch(options?: WatchOptions): AsyncIterable<WatchItem> {
    return watch(this.#transport, options);
  }

  /** Log lines of an LRP or Task, each once; with `follow` also those to come, over any number of connections. */
  logs(filter: Input<LogFilter>, options?: LogOptions): AsyncIterable<LogEntry> {
    return logs(this.#transport, filter, options);
  }

  /** Runs a process in a container. */
  exec(start: Input<ExecStart>, options?: { signal?: AbortSignal | undefined }): ExecSession {
    return new ExecSession(this.#transport, start, options);
  }

  /** A tar stream of a file or directory in a container; a trailing "/" means a directory's contents. */
  readFiles(target: Input<ContainerTarget>, path: string, options?: FileOptions): Readable {
    return readFiles(this.#transport, target, path, options);
  }

  /** Unpacks a tar stream into a directory of a container, which is made if missing. Consumes and closes `tar`. */
  writeFiles(target: Input<ContainerTarget>, path: string, tar: Readable, options?: FileOptions): Promise<void> {
    return writeFiles(this.#transport, target, path, tar, options);
  }

  /** Ends every call with a CancelledError and closes all connections. */
  close(): void {
    this.#transport.close();
  }
}
