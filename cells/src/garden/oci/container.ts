import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex, Readable } from 'node:stream';
import { failpoint } from '@rivera/kit/failpoint';
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
import { BUSYBOX } from './bundle.js';
import type { Cell } from './cell.js';
import { ContainerCgroup } from './cgroup.js';
import { prepareMoves } from './cgroup-moves.js';
import { noRoomAt, readIfPresent } from './durable.js';
import { type PersonsProcess, startExec } from './exec.js';
import { ContainerFiles } from './inside.js';
import { endStrays, type LaunchedIn } from './launch-end.js';
import { readLimits, writeLimits } from './limits.js';
import { LivingRecord } from './living-record.js';
import { MemoryShares, NO_MEMBERSHIP } from './memory-shares.js';
import { readMetrics } from './metrics.js';
import { NetworkDoor } from './network-door.js';
import { Passage } from './passage.js';
import type { ContainerPlaces } from './places.js';
import { isExiting, processFacts } from './proc.js';
import { OciProcess } from './process.js';
import { hasBridge } from './process-input.js';
import { type ProcessRequest, processSpec } from './process-spec.js';
import { type ContainerRecord, isInitAlive } from './record.js';
import type { RuntimeProgram } from './runtime/runtime.js';
import { send } from './send.js';
import { signalProcess } from './signals.js';
import type { Patience } from './stall.js';
import { makeInside, streamIn, streamOut } from './streams.js';
import {
  launch,
  type ProcessRecord,
  processPlaces,
  processUuid,
  recordedProcesses,
  recordLaunch,
} from './supervisor.js';
import { withTerminalModes, withTerminalSize } from './terminal-modes.js';
import { assertMapped, type ContainerUser, findUser, ROOT } from './users.js';

const PROCESS_ID = /^[A-Za-z0-9._-]{1,128}$/;
/** Bytes of the user database that are looked at. */
const DATABASE_LIMIT = 1024 * 1024;
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
  private readonly cgroup: ContainerCgroup;
  private readonly shares: MemoryShares;
  private readonly files: ContainerFiles;
  private readonly network: Passage;
  private readonly processes = new Map<string, OciProcess>();
  private readonly persons = new Set<PersonsProcess>();
  private readonly launches = new Set<Promise<OciProcess>>();
  /** People's processes on their way. */
  private starting = 0;
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
    this.shares = new MemoryShares(this.cgroup);
    this.network = new Passage(cell, places, record);
    this.files = new ContainerFiles(`/proc/${record.init.pid}/root`, {
      firstId: record.ids?.hostId ?? 0,
      isCurrent: () => isInitAlive(record),
      makeInside: (path, owner) => makeInside({ start: this.starter, path, owner, as: ROOT }),
    });
    this.door = new NetworkDoor(places.netns);
  }

  get record(): ContainerRecord {
    return this.kept.current;
  }

  /** Where it is, and what it was made with. */
  private get made(): { places: ContainerPlaces; runtime: RuntimeProgram } {
    return { places: this.places, runtime: this.cell.runtimes.of(this.record) };
  }

  private get launchedIn(): LaunchedIn {
    const { cgroup, places } = this;
    return { container: places, cgroup, init: this.record.init.pid, clock: this.cell.settings.clock };
  }

  get spec(): GardenSpec {
    return this.record.spec;
  }

  /** Takes up the processes of an earlier life, and ends those that belonged to its people. */
  async adopt(): Promise<void> {
    await this.network.load();
    await this.adoptLimits();
    for (const record of await recordedProcesses(this.places)) {
      this.follow(record);
    }
    for (const name of await readdir(this.places.execs)) {
      const path = join(this.places.execs, name);
      const pid = name.endsWith('.pid') ? Number(await readIfPresent(path)) : 0;
      const facts = pid > 0 && (await this.cgroup.pids()).includes(pid) ? processFacts(pid) : undefined;
      if (facts) await signalProcess(this.cgroup, facts, 'SIGKILL');
      await rm(path, { force: true });
    }
    // The same where a full disk kept their pids from being noted.
    await endStrays(this.launchedIn);
  }

  /** Makes a change of limits that an earlier agent had recorded when it died. */
  private async adoptLimits(): Promise<void> {
    if (!isInitAlive(this.record)) return;
    const { limits } = this.spec;
    const now = await readLimits(this.cgroup, { asked: limits, maxPids: this.cell.settings.maxPids });
    if (now.memoryBytes === pages(limits.memoryBytes) && now.pids === limits.pids && now.cpuShares === limits.cpuShares)
      return;
    await writeLimits(this.cell, { ...this.made, change: limits }).catch((error: unknown) => {
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
      processes: [...this.processes.values()].map(({ id, hasEnded }) => ({ id, ended: hasEnded })),
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
      await writeLimits(this.cell, { ...this.made, change });
    } catch (error) {
      // Some may have been written before another was refused.
      await writeLimits(this.cell, { ...this.made, change: limits }).catch(() => undefined);
      throw error;
    }
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
    if (!PROCESS_ID.test(spec.id) || spec.id.startsWith('.')) {
      throw new GardenError('process-failed', `process id '${spec.id}' is not 1..128 of A-Z a-z 0-9 . _ -`);
    }
    if ((spec.stdin || spec.terminal) && !hasBridge())
      throw new GardenError('unsupported', 'processes take input only where socat is installed');
    if (this.processes.has(spec.id)) throw new GardenError('process-exists', `process '${spec.id}' exists already`);
    const user = await this.user(spec.user || (this.record.info.imageUser ?? ''));
    const cwd = await this.workingDirectory(spec.dir || (this.record.info.imageDir ?? ''), user);
    const uuid = processUuid({ cellId: this.cell.settings.cellId, handle: this.handle, id: spec.id });
    const launchedAtMs = this.cell.settings.clock.now();
    const nofile = spec.nofile || this.cell.settings.nofile;
    const term: Record<string, string> = spec.terminal ? { TERM: spec.terminal.term } : {};
    const env = [this.record.info.imageEnv, this.spec.env, term, spec.env];
    const { rlimits, terminal } = spec;
    const sized = terminal && this.made.runtime.name === 'crun';
    const [path, args] = sized ? withTerminalSize(spec.path, spec.args, terminal) : [spec.path, spec.args];
    const request = { path, args, user, cwd, env, nofile, rlimits, ...(terminal ? { terminal } : {}) };
    const input = terminal ? ('terminal' as const) : ('pipe' as const);
    const { memoryShare } = spec;
    const record = {
      id: spec.id,
      uuid,
      launchedAtMs,
      ...(terminal || spec.stdin ? { input } : {}),
      ...(memoryShare ? { memoryShare } : {}),
    };
    this.assertUsable();
    const launching = this.launch(record, this.processSpec(request));
    this.launches.add(launching);
    const process = await launching.finally(() => this.launches.delete(launching));
    const { failure } = await process.started(this.cell.settings.runtimeTimeoutMs);
    if (failure) {
      // Told to have failed, it must not run after all.
      await process.abandon();
      const starved = memoryShare && (await this.shares.oomKills(memoryShare.name)) > 0;
      throw new GardenError('process-failed', starved ? `${failure} (out of memory)` : failure);
    }
    failpoint('cell.process-started');
    return process;
  }

  attach(id: string): GardenProcess | undefined {
    return this.processes.get(id);
  }

  exec(spec: ExecSpec): Promise<InteractiveProcess> {
    return this.grace.during(() => this.inside('process-failed', () => this.startExec(spec)));
  }

  private async startExec(spec: ExecSpec): Promise<InteractiveProcess> {
    this.assertUsable();
    const user = await this.user(spec.user || (this.record.info.imageUser ?? ''));
    const cwd = await this.workingDirectory(spec.dir || (this.record.info.imageDir ?? ''), user);
    const [path, leading] = spec.path === '' ? await this.shell(user) : [spec.path, []];
    const term: Record<string, string> = spec.terminal ? { TERM: spec.terminal.term } : {};
    const env = [this.record.info.imageEnv, this.spec.env, term, spec.env];
    const nofile = spec.nofile || this.cell.settings.nofile;
    const [program, args] = withTerminalModes(path, [...leading, ...spec.args], spec.terminal);
    return this.startPerson({ path: program, args, user, cwd, env, nofile }, spec.terminal);
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
        user: await this.user(user),
        tar,
        patience: this.patience,
      }),
    );
  }

  async streamOut(path: string, user: string): Promise<Readable> {
    this.assertUsable();
    const { starter: start, files, patience } = this;
    return this.inside('stream-failed', async () =>
      streamOut({ start, files, path: absolute(path), user: await this.user(user), patience }),
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
    await Promise.allSettled(this.launches);
    await this.network.settled();
  }

  /** Its destruction could not begin. */
  acceptWork(): void {
    this.ending = false;
    this.kept.unseal();
    this.grace.open();
  }

  /** Supervisors that still run. */
  async supervisors(): Promise<number[]> {
    const pids = await Promise.all([...this.processes.values()].map((process) => process.supervisor()));
    return pids.filter((pid) => pid !== undefined);
  }

  /** Tells those that wait for processes how these ended, now that the container is being destroyed. */
  async settle(): Promise<void> {
    await Promise.all([...this.processes.values()].map((process) => process.settle('its container was destroyed')));
  }

  /** Lets go; what belongs to people ends. */
  async close(): Promise<void> {
    this.closed = true;
    this.grace.close();
    this.door.close();
    await Promise.all([...this.processes.values()].map((process) => process.close()));
    for (const person of this.persons) person.kill();
    await Promise.all([...this.persons].map((person) => person.exited));
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
  }): Promise<InteractiveProcess> => this.startPerson({ ...o, env: [], nofile: this.cell.settings.nofile });

  private async startPerson(
    request: Omit<ProcessRequest, 'privileged' | 'terminal'>,
    terminal?: ExecSpec['terminal'],
  ): Promise<InteractiveProcess> {
    const { cell, cgroup } = this;
    const { maxExecs } = cell.settings;
    if (this.persons.size + this.starting >= maxExecs)
      throw new GardenError('process-failed', `container '${this.handle}' has ${maxExecs} such processes already`);
    const spec = this.processSpec({
      ...request,
      nofile: request.nofile ?? cell.settings.nofile,
      ...(terminal ? { terminal } : {}),
    });
    this.starting++;
    const person = await startExec({ cell, ...this.made, cgroup, spec, ...(terminal ? { terminal } : {}) }).finally(
      () => {
        this.starting--;
      },
    );
    this.persons.add(person);
    const release = this.grace.begin();
    void person.exited.then(() => {
      this.persons.delete(person);
      release();
    });
    if (this.closed) person.kill();
    return person;
  }

  private processSpec(request: Omit<ProcessRequest, 'privileged'>): object {
    return processSpec({ ...request, privileged: this.spec.privileged });
  }

  private async launch(record: ProcessRecord, spec: object): Promise<OciProcess> {
    const places = processPlaces(this.places, record.id);
    try {
      const { memoryShare } = record;
      const membership = memoryShare ? await this.shares.prepare(memoryShare, this.made.runtime) : NO_MEMBERSHIP;
      void prepareMoves();
      await recordLaunch(places, record, spec);
      failpoint('cell.process-recorded');
      const launching = launch({
        places,
        uuid: record.uuid,
        handle: this.handle,
        runtime: { path: this.made.runtime.path, root: this.cell.places.runtimeRoot },
        owner: this.record.ids?.hostId,
        outputLimitBytes: this.cell.settings.outputLimitBytes,
        membership,
        input: record.input,
      });
      // Its supervisor may go on without having detached.
      await launching.catch(async (error: unknown) => {
        await this.follow(record).abandon();
        throw new Error(`${(error as Error).message}${await noRoomAt(places.dir)}`, { cause: error });
      });
    } catch (cause) {
      if (cause instanceof GardenError) throw cause;
      throw new GardenError('process-failed', cause instanceof Error ? cause.message : String(cause), { cause });
    }
    return this.follow(record);
  }

  private follow(record: ProcessRecord): OciProcess {
    const { log, runtimeTimeoutMs: startTimeoutMs } = this.cell.settings;
    const places = processPlaces(this.places, record.id);
    const use = () => this.grace.begin();
    const { shares, launchedIn } = this;
    const oomKills = () => shares.oomKills(record.memoryShare?.name);
    const process = new OciProcess({ ...record, places, launchedIn, oomKills, log, use, startTimeoutMs });
    this.processes.set(record.id, process);
    return process;
  }

  private async user(user: string): Promise<ContainerUser> {
    const [passwd, group] = await Promise.all(
      ['/etc/passwd', '/etc/group'].map((path) => this.files.readText(path, DATABASE_LIMIT)),
    );
    const found = findUser({ user, passwd, group });
    if (this.record.ids) assertMapped(found, this.record.ids.size);
    return found;
  }

  private async workingDirectory(dir: string, user: ContainerUser): Promise<string> {
    const wanted = absolute(dir === '' ? user.home : dir);
    try {
      await this.files.ensureDirectory(wanted, user);
      return wanted;
    } catch (cause) {
      if (dir === '') return '/';
      throw new GardenError('process-failed', `directory ${wanted} can't be made`, { cause });
    }
  }

  private async shell(user: ContainerUser): Promise<[path: string, args: string[]]> {
    for (const path of [user.shell, '/bin/bash', '/bin/sh']) {
      if (path !== '' && (await this.files.kind(path)) === 'file') return [path, []];
    }
    return [BUSYBOX, ['sh']];
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

function absolute(path: string): string {
  return path.startsWith('/') ? path : `/${path}`;
}
