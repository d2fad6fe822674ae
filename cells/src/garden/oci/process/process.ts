import { type FSWatcher, watch } from 'node:fs';
import { basename } from 'node:path';
import { failpoint } from '@rivera/kit/failpoint';
import type { Logger } from '@rivera/kit/log';
import { noRoomAt, readIfPresent, writeDurably } from '../../../kernel/durable.js';
import { processFacts } from '../../../kernel/proc.js';
import { type ExitStatus, GardenError, type GardenProcess, type ProcessOutput, type WindowSize } from '../../garden.js';
import { Gate } from '../../gate.js';
import { unlessAborted } from '../../unless-aborted.js';
import { endLaunch, type LaunchedIn } from './launch-end.js';
import { followLog } from './output.js';
import { ProcessInput } from './process-input.js';
import { type ProcessIdentity, signalProcess } from './signals.js';
import { isBeingLaunched, type LaunchReport, livingSupervisor, type ProcessPlaces, readReport } from './supervisor.js';

/** How often is looked when the kernel reports nothing: for supervisors that were killed; and where watches are used up, for all. */
const WATCHED_POLL_MS = 5000;
const UNWATCHED_POLL_MS = 1000;
/** A supervisor that was only just started has this long to say who it is. */
const SUPERVISOR_START_MS = 5000;
/** Exit code told of a process whose end nobody saw. */
const UNKNOWN_EXIT = 255;

export interface ProcessContext {
  id: string;
  uuid: string;
  places: ProcessPlaces;
  launchedIn: LaunchedIn;
  /** How often the kernel killed something of what it has its memory from, for want of it. */
  oomKills(): Promise<number>;
  log: Logger;
  launchedAtMs: number;
  input?: 'pipe' | 'terminal' | undefined;
  /** How long the runtime may take to start it. */
  startTimeoutMs: number;
  /** Somebody reads its output or waits for its end; returns how to say that they don't any more. */
  use(): () => void;
}

/** A process under a supervisor, followed through the files that the supervisor writes. */
export class OciProcess implements GardenProcess {
  readonly id: string;
  private readonly logChanged = new Gate();
  private readonly stateChanged = new Gate();
  private readonly input: ProcessInput;
  private readonly ended: Promise<ExitStatus>;
  private identity: ProcessIdentity | undefined;
  private status: ExitStatus | undefined;
  private watchers: FSWatcher[] = [];
  private cancelPoll: () => void = () => undefined;
  private closed = false;
  private abandoned = false;

  constructor(private readonly context: ProcessContext) {
    this.id = context.id;
    this.input = new ProcessInput(context.places, context.input ?? 'none');
    this.startWatching();
    this.ended = this.follow();
    // Whoever asks with wait() is told; nobody has to ask.
    this.ended.catch(() => undefined);
  }

  /** Resolves with what the supervisor says of the start. */
  async started(timeoutMs: number): Promise<LaunchReport> {
    let late = false;
    const { places } = this.context;
    const cancel = this.context.launchedIn.clock.setTimer(timeoutMs, () => {
      late = true;
      this.stateChanged.open();
    });
    try {
      for (;;) {
        const change = this.stateChanged.next();
        const report = await readReport(places);
        if (report) {
          this.identify(report);
          return report;
        }
        if (this.status?.lost) return { failure: this.status.lost };
        if (this.closed) throw closedError();
        if (late) return { failure: `no word from the supervisor within ${timeoutMs} ms${await noRoomAt(places.dir)}` };
        await change;
      }
    } finally {
      cancel();
    }
  }

  async *output(signal?: AbortSignal): AsyncGenerator<ProcessOutput> {
    const release = this.context.use();
    try {
      yield* followLog({
        path: this.context.places.log,
        isOver: () => this.status !== undefined || this.closed,
        change: () => this.logChanged.next(signal),
        signal,
      });
    } finally {
      release();
    }
    if (this.closed && !this.status && !signal?.aborted) throw closedError();
  }

  get hasEnded(): boolean {
    return this.status !== undefined;
  }

  wait(signal?: AbortSignal): Promise<ExitStatus> {
    const release = this.context.use();
    return unlessAborted(this.ended, signal).finally(release);
  }

  async write(data: Buffer, signal?: AbortSignal): Promise<void> {
    await this.input.write(data, signal);
  }

  async closeStdin(): Promise<void> {
    await this.input.end();
  }

  async resize(size: WindowSize): Promise<void> {
    await this.input.resize(size);
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    if (this.status) return;
    if (!this.identity) {
      const report = await readReport(this.context.places);
      if (report) this.identify(report);
    }
    if (this.identity) await signalProcess(this.context.launchedIn.cgroup, this.identity, signal);
  }

  /** Ends whatever would start it, and it: its start failed, or nothing was heard of it for too long. */
  async abandon(): Promise<void> {
    const { places, uuid, launchedIn } = this.context;
    await endLaunch(places, uuid, launchedIn);
    const known = this.identity ?? (await this.noted());
    if (known) await signalProcess(launchedIn.cgroup, known, 'SIGKILL');
    this.abandoned = true;
    this.stateChanged.open();
  }

  /** Who it is by the runtime's word, as long as it is in the container. */
  private async noted(): Promise<ProcessIdentity | undefined> {
    const { places, launchedIn } = this.context;
    const pid = Number(await readIfPresent(places.pidFile));
    return pid > 0 && (await launchedIn.cgroup.pids()).includes(pid) ? processFacts(pid) : undefined;
  }

  /** Looks once more, and takes the end for lost when there is still none: the container is being destroyed. */
  async settle(reason: string): Promise<void> {
    if (this.status || this.closed) return;
    const status = (await this.readEnd()) ?? { code: UNKNOWN_EXIT, outOfMemory: false, lost: reason };
    this.status ??= status;
    this.stopWatching();
  }

  /** Whether its supervisor still runs. */
  async supervisor(): Promise<number | undefined> {
    return livingSupervisor(this.context.places, this.context.uuid);
  }

  /** Stops following; the process goes on. */
  async close(): Promise<void> {
    this.closed = true;
    this.stopWatching();
    await this.input.close();
  }

  private async follow(): Promise<ExitStatus> {
    for (;;) {
      const change = this.stateChanged.next();
      if (!this.status) {
        const status = await this.look();
        if (status) this.status ??= status;
      }
      if (this.status) {
        this.stopWatching();
        return this.status;
      }
      if (this.closed) throw closedError();
      await change;
    }
  }

  private async look(): Promise<ExitStatus | undefined> {
    const { places } = this.context;
    const { clock } = this.context.launchedIn;
    const told = await readIfPresent(places.ended);
    if (told !== undefined) return JSON.parse(told) as ExitStatus;
    const end = await this.readEnd();
    if (end) return this.remember(end);
    const report = await readReport(places);
    if (report?.failure) {
      await this.abandon();
      return this.remember(lost(`could not be started: ${report.failure}`));
    }
    if (report) this.identify(report);
    if ((await this.supervisor()) || (!report && (await isBeingLaunched(places)))) {
      const late = !report && clock.now() - this.context.launchedAtMs > this.context.startTimeoutMs;
      if (!late) return undefined;
      await this.abandon();
      return this.remember(lost(`could not be started within ${this.context.startTimeoutMs} ms`));
    }
    const isNew = clock.now() - this.context.launchedAtMs < SUPERVISOR_START_MS;
    if (!report && isNew && !this.abandoned) return undefined;
    // It may have ended properly between the two looks.
    const late = await this.readEnd();
    if (late) return this.remember(late);
    await this.abandon();
    const why = report ? 'its supervisor is gone' : 'it was launched, but nobody knows whether it ran';
    return this.remember(lost(`${why}${await noRoomAt(places.dir)}`));
  }

  private async readEnd(): Promise<ExitStatus | undefined> {
    const text = (await readIfPresent(this.context.places.exit))?.trim();
    // Empty is no code, and no success.
    if (!text) return undefined;
    return { code: Number(text), outOfMemory: (await this.context.oomKills()) > 0 };
  }

  private async remember(status: ExitStatus): Promise<ExitStatus> {
    failpoint('cell.process-exit-seen');
    await writeDurably(this.context.places.ended, JSON.stringify(status)).catch((error: unknown) => {
      // Destroyed meanwhile, or the disk is full: the supervisor's file still tells the same, until the machine starts anew.
      this.context.log.debug({ error, process: this.id }, 'the end of a process could not be noted');
    });
    return status;
  }

  /** While the supervisor lives the pid can't be anybody else's, as it wasn't reaped. */
  private identify(report: LaunchReport): void {
    if (this.identity || report.pid === undefined) return;
    const facts = processFacts(report.pid);
    if (facts) this.identity = facts;
  }

  private startWatching(): void {
    const { places, log } = this.context;
    const { clock } = this.context.launchedIn;
    const logFile = basename(places.log);
    const pollInstead = (error: unknown) => {
      this.unwatch();
      log.warn({ error, process: this.id }, 'a process can’t be watched, polling instead');
    };
    try {
      for (const dir of [places.dir, places.exitDir]) {
        const watcher = watch(dir, (_event, file) => {
          if (file === logFile) this.logChanged.open();
          else this.stateChanged.open();
        });
        this.watchers.push(watcher.on('error', pollInstead));
      }
    } catch (error) {
      pollInstead(error);
    }
    const poll = () => {
      this.stateChanged.open();
      this.logChanged.open();
      plan();
    };
    const plan = () => {
      this.cancelPoll = clock.setTimer(this.watchers.length > 0 ? WATCHED_POLL_MS : UNWATCHED_POLL_MS, poll);
    };
    plan();
  }

  private stopWatching(): void {
    this.unwatch();
    this.cancelPoll();
    this.stateChanged.open();
    this.logChanged.open();
  }

  private unwatch(): void {
    for (const watcher of this.watchers) watcher.close();
    this.watchers = [];
  }
}

function lost(reason: string): ExitStatus {
  return { code: UNKNOWN_EXIT, outOfMemory: false, lost: reason };
}

function closedError(): GardenError {
  return new GardenError('closed', 'the garden was closed');
}
