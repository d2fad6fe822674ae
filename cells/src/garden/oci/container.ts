import type { Duplex, Readable } from 'node:stream';
import { isExiting } from '../../kernel/proc.js';
import { send } from '../../kernel/send.js';
import {
  type ContainerInfo,
  type ContainerListener,
  type ContainerStatus,
  type EgressRule,
  type ExecSpec,
  type GardenContainer,
  GardenError,
  type GardenLimits,
  type GardenMetrics,
  type GardenProcess,
  type GardenSpec,
  type InteractiveProcess,
  type PortMapping,
  type ProcessSpec,
  type TcpAddress,
} from '../garden.js';
import { Grace } from '../grace.js';
import { limitChange } from '../limits.js';
import { propertyOf, withGraceTime, withoutProperty, withProperty } from '../properties.js';
import type { Cell } from './cell.js';
import { ContainerCgroup } from './cgroups/cgroup.js';
import { readLimits, writeLimits } from './cgroups/limits.js';
import { readMetrics } from './cgroups/metrics.js';
import { ContainerFiles } from './files/inside.js';
import { absolute, Logins } from './files/logins.js';
import type { Patience } from './files/stall.js';
import { makeInside, streamIn, streamOut } from './files/streams.js';
import { type ContainerUser, ROOT } from './files/users.js';
import { LivingRecord } from './living-record.js';
import { NetworkDoor } from './network/door.js';
import { Passage } from './network/passage.js';
import type { ContainerPlaces } from './places.js';
import { LaunchedProcesses } from './process/launched-processes.js';
import { PersonsProcesses } from './process/persons-processes.js';
import { type ProcessRequest, processSpec } from './process/process-spec.js';
import { withTerminalModes, withTerminalSize } from './process/terminal-modes.js';
import { type ContainerRecord, isInitAlive } from './record.js';
import type { RuntimeProgram } from './runtime/runtime.js';

/** Events that are told of a container. */
const MAX_EVENTS = 100;
/** Bytes of the files that say what names mean. */
const NAME_FILE_LIMIT = 64 * 1024;
/** How long processes may take to die of KILL. */
const KILL_WAIT_MS = 10_000;

/** A container that exists whole. */
export class OciContainer implements GardenContainer {
  readonly handle: string;
  private readonly kept: LivingRecord;
  private readonly grace: Grace;
  private readonly runtime: RuntimeProgram;
  private readonly cgroup: ContainerCgroup;
  private readonly files: ContainerFiles;
  private readonly network: Passage;
  private readonly logins: Logins;
  private readonly processes: LaunchedProcesses;
  private readonly persons: PersonsProcesses;
  private readonly door: NetworkDoor;
  private closed = false;
  private ending = false;

  constructor(
    private readonly cell: Cell,
    readonly places: ContainerPlaces,
    record: ContainerRecord,
    onUnused: () => void,
  ) {
    this.handle = record.spec.handle;
    this.kept = new LivingRecord(places, record);
    this.grace = new Grace(cell.settings.clock, record.spec.graceTimeMs ?? 0, onUnused);
    this.cgroup = new ContainerCgroup(places.cgroup);
    this.network = new Passage(cell, places, record);
    this.files = new ContainerFiles(`/proc/${record.init.pid}/root`, {
      firstId: record.ids?.hostId ?? 0,
      isCurrent: () => isInitAlive(record),
      makeInside: (path, owner) => makeInside({ start: this.starter, path, owner, as: ROOT }),
    });
    this.logins = new Logins(this.files, record.ids?.size);
    this.door = new NetworkDoor(places.netns);
    this.runtime = cell.runtimes.of(record);
    const { runtime, cgroup, grace } = this;
    const parts = { cell, places, runtime, cgroup, init: record.init.pid, rootId: record.ids?.hostId, grace };
    this.processes = new LaunchedProcesses(parts);
    this.persons = new PersonsProcesses(parts);
  }

  get record(): ContainerRecord {
    return this.kept.current;
  }

  get spec(): GardenSpec {
    return this.record.spec;
  }

  /** Takes up the processes of an earlier life, and ends those that belonged to its people. */
  async adopt(): Promise<void> {
    await this.network.load();
    await this.adoptLimits();
    await this.persons.endForgotten();
    await this.processes.adopt();
  }

  /** Makes a change of limits that an earlier agent had recorded when it died. */
  private async adoptLimits(): Promise<void> {
    if (!isInitAlive(this.record)) return;
    const { limits } = this.spec;
    const now = await readLimits(this.cgroup, { asked: limits, maxPids: this.cell.settings.maxPids });
    if (now.memoryBytes === pages(limits.memoryBytes) && now.pids === limits.pids && now.cpuShares === limits.cpuShares)
      return;
    await this.limitTo(limits).catch((error: unknown) => {
      this.cell.settings.log.error({ error, handle: this.handle }, 'limits of a container could not be made again');
    });
  }

  info(): ContainerInfo {
    return { ...this.record.info, ports: this.network.ports };
  }

  async status(): Promise<ContainerStatus> {
    const outOfMemory = Math.min(await this.cgroup.oomKills(), MAX_EVENTS);
    return {
      state: this.record.stopped || !isInitAlive(this.record) || isExiting(this.record.init.pid) ? 'stopped' : 'active',
      events: Array.from({ length: outOfMemory }, () => 'Out of memory'),
      processes: this.processes.list(),
    };
  }

  property(name: string): string {
    return propertyOf(this.spec, name);
  }

  setProperty(name: string, value: string): Promise<void> {
    return this.grace.during(() => this.kept.changeSpec((spec) => withProperty(spec, name, value)));
  }

  removeProperty(name: string): Promise<void> {
    return this.grace.during(() => this.kept.changeSpec((spec) => withoutProperty(spec, name)));
  }

  async limits(): Promise<GardenLimits> {
    return this.grace.during(() =>
      readLimits(this.cgroup, { asked: this.spec.limits, maxPids: this.cell.settings.maxPids }),
    );
  }

  async setLimits(wanted: Partial<GardenLimits>): Promise<GardenLimits> {
    this.assertUsable();
    const change = limitChange(this.spec.limits, wanted);
    if (Object.keys(change).length > 0) {
      await this.grace.during(() =>
        this.kept.changeSpec(
          (spec) => ({ ...spec, limits: { ...spec.limits, ...change } }),
          () => this.writeLimits(change),
        ),
      );
    }
    return this.limits();
  }

  private async writeLimits(change: Partial<GardenLimits>): Promise<void> {
    const { limits } = this.spec;
    try {
      await this.limitTo(change);
    } catch (error) {
      // Some may have been written before another was refused.
      await this.limitTo(limits).catch(() => undefined);
      throw error;
    }
  }

  private limitTo(change: Partial<GardenLimits>): Promise<void> {
    const { cell, places, runtime } = this;
    return writeLimits(cell, { places, runtime, change });
  }

  async setGraceTime(graceTimeMs: number): Promise<void> {
    await this.kept.changeSpec((spec) => withGraceTime(spec, graceTimeMs));
    this.grace.set(graceTimeMs);
  }

  run(spec: ProcessSpec): Promise<GardenProcess> {
    return this.grace.during(() => this.inside('process-failed', () => this.start(spec)));
  }

  private async start(spec: ProcessSpec): Promise<GardenProcess> {
    this.assertUsable();
    const { id, terminal, memoryShare, rlimits } = spec;
    const input = terminal ? 'terminal' : spec.stdin ? 'pipe' : undefined;
    this.processes.assertPossible(id, input);
    const circumstances = await this.circumstances(spec);
    const sized = terminal && this.runtime.name === 'crun';
    const [path, args] = sized ? withTerminalSize(spec.path, spec.args, terminal) : [spec.path, spec.args];
    const process = this.processSpec({ ...circumstances, path, args, rlimits, ...(terminal ? { terminal } : {}) });
    this.assertUsable();
    return this.processes.start({ id, ...(input ? { input } : {}), ...(memoryShare ? { memoryShare } : {}) }, process);
  }

  attach(id: string): GardenProcess | undefined {
    return this.processes.get(id);
  }

  exec(spec: ExecSpec): Promise<InteractiveProcess> {
    return this.grace.during(() => this.inside('process-failed', () => this.startExec(spec)));
  }

  private async startExec(spec: ExecSpec): Promise<InteractiveProcess> {
    this.assertUsable();
    const { terminal } = spec;
    const circumstances = await this.circumstances(spec);
    const [shell, leading] = spec.path === '' ? await this.logins.shell(circumstances.user) : [spec.path, []];
    const [path, args] = withTerminalModes(shell, [...leading, ...spec.args], terminal);
    const process = this.processSpec({ ...circumstances, path, args, ...(terminal ? { terminal } : {}) });
    return this.persons.start(process, terminal);
  }

  /** Who a process is to be, where it begins and what it finds. */
  private async circumstances(
    spec: ProcessSpec | ExecSpec,
  ): Promise<Pick<ProcessRequest, 'user' | 'cwd' | 'env' | 'nofile'>> {
    const { imageUser = '', imageDir = '', imageEnv } = this.record.info;
    const user = await this.logins.user(spec.user || imageUser);
    const cwd = await this.logins.workingDirectory(spec.dir || imageDir, user);
    const term: Record<string, string> = spec.terminal ? { TERM: spec.terminal.term } : {};
    const env = [imageEnv, this.spec.env, term, spec.env];
    return { user, cwd, env, nofile: spec.nofile || this.cell.settings.nofile };
  }

  async connect(address: TcpAddress): Promise<Duplex> {
    this.assertUsable();
    return this.door.connect(address, await this.nameFiles());
  }

  async listen(
    address: TcpAddress,
    accepted: (connection: Duplex, origin: TcpAddress) => void,
  ): Promise<ContainerListener> {
    this.assertUsable();
    return this.door.listen(address, accepted);
  }

  /** What names mean in the container. */
  private async nameFiles(): Promise<{ hosts: string; resolvConf: string }> {
    const [hosts = '', resolvConf = ''] = await Promise.all(
      ['/etc/hosts', '/etc/resolv.conf'].map((path) => this.files.readText(path, NAME_FILE_LIMIT)),
    );
    return { hosts, resolvConf };
  }

  async stop(graceMs: number): Promise<void> {
    await this.grace.during(() => this.endProcesses(graceMs));
    if (!this.record.stopped) await this.kept.change((record) => ({ ...record, stopped: true }));
  }

  private async endProcesses(graceMs: number): Promise<void> {
    const { clock } = this.cell.settings;
    const others = async () => (await this.cgroup.pids()).filter((pid) => pid !== this.record.init.pid);
    for (const [signal, waitMs] of [
      ['SIGTERM', graceMs],
      ['SIGKILL', KILL_WAIT_MS],
    ] as const) {
      const deadline = clock.now() + waitMs;
      for (let told = new Set<number>(), pauseMs = 5; ; pauseMs = Math.min(pauseMs * 2, 100)) {
        const pids = await others();
        if (pids.length === 0) return;
        if (clock.now() >= deadline) break;
        // TERM once each, also to those born meanwhile; KILL until they are gone.
        for (const pid of pids) if (signal === 'SIGKILL' || !told.has(pid)) send(pid, signal);
        told = new Set(pids);
        await clock.sleep(Math.min(pauseMs, deadline - clock.now()));
      }
    }
  }

  async streamIn(path: string, user: string, tar: Readable): Promise<void> {
    this.assertUsable();
    const { files } = this;
    await this.inside('stream-failed', async () =>
      streamIn({
        start: this.starter,
        files,
        path: absolute(path),
        user: await this.logins.user(user),
        tar,
        patience: this.patience,
      }),
    );
  }

  async streamOut(path: string, user: string): Promise<Readable> {
    this.assertUsable();
    const { starter: start, files, patience } = this;
    return this.inside('stream-failed', async () =>
      streamOut({ start, files, path: absolute(path), user: await this.logins.user(user), patience }),
    );
  }

  async metrics(): Promise<GardenMetrics> {
    const { places, record, cgroup } = this;
    return readMetrics({ places, record, cgroup, nowMs: this.cell.settings.clock.now() });
  }

  /** What its network lets through. */
  passage(): { handle: string; egress: EgressRule[]; ports: PortMapping[] } {
    const { egress, ports } = this.network;
    return { handle: this.handle, egress, ports };
  }

  async netOut(rules: readonly EgressRule[]): Promise<void> {
    this.assertUsable();
    await this.network.allow(rules);
  }

  async netIn(mapping: Partial<PortMapping>): Promise<PortMapping> {
    this.assertUsable();
    return this.network.map(mapping);
  }

  /** Takes no more processes, and waits for those that are just being launched: the container is about to end. */
  async refuseWork(): Promise<void> {
    this.ending = true;
    this.grace.close();
    await this.kept.seal();
    this.door.close();
    await this.processes.launched();
    await this.network.settled();
  }

  /** Its destruction could not begin. */
  acceptWork(): void {
    this.ending = false;
    this.kept.unseal();
    this.grace.open();
  }

  /** Supervisors that still run. */
  supervisors(): Promise<number[]> {
    return this.processes.supervisors();
  }

  /** Tells those that wait for processes how these ended, now that the container is being destroyed. */
  async settle(): Promise<void> {
    await this.processes.settle();
  }

  /** Lets go; what belongs to people ends. */
  async close(): Promise<void> {
    this.closed = true;
    this.grace.close();
    this.door.close();
    await this.processes.close();
    await this.persons.close();
  }

  private get patience(): Patience {
    const { clock, streamIdleMs } = this.cell.settings;
    return { clock, idleMs: streamIdleMs };
  }

  private readonly starter = (o: {
    path: string;
    args: string[];
    user: ContainerUser;
    cwd: string;
  }): Promise<InteractiveProcess> =>
    this.persons.start(this.processSpec({ ...o, env: [], nofile: this.cell.settings.nofile }), undefined);

  private processSpec(request: Omit<ProcessRequest, 'privileged'>): object {
    return processSpec({ ...request, privileged: this.spec.privileged });
  }

  /** Its init may die, and with it the way to its files, at any moment. @throws GardenError */
  private async inside<T>(kind: 'process-failed' | 'stream-failed', work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (cause instanceof GardenError) throw cause;
      this.assertUsable();
      throw new GardenError(kind, cause instanceof Error ? cause.message : String(cause), { cause });
    }
  }

  private assertUsable(): void {
    if (this.closed) throw new GardenError('closed', 'the garden was closed');
    if (this.ending || !isInitAlive(this.record))
      throw new GardenError('process-failed', `container '${this.handle}' does not run any more`);
  }
}

/** The kernel counts memory in pages. */
function pages(bytes: number): number {
  return bytes - (bytes % 4096);
}
