import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex, Readable } from 'node:stream';
import { failpoint } from '@rivera/kit/failpoint';
import {
  type ContainerInfo,
  type ContainerListener,
  type ExecSpec,
  type GardenContainer,
  GardenError,
  type GardenMetrics,
  type GardenProcess,
  type GardenSpec,
  type InteractiveProcess,
  type ProcessSpec,
  type TcpAddress,
} from '../garden.js';
import { BUSYBOX } from './bundle.js';
import type { Cell } from './cell.js';
import { ContainerCgroup } from './cgroup.js';
import { readIfPresent } from './durable.js';
import { type PersonsProcess, startExec } from './exec.js';
import { ContainerFiles } from './inside.js';
import { readMetrics } from './metrics.js';
import { NetworkDoor } from './network-door.js';
import type { ContainerPlaces } from './places.js';
import { processFacts } from './proc.js';
import { OciProcess } from './process.js';
import { type ProcessRequest, processSpec } from './process-spec.js';
import { type ContainerRecord, isInitAlive } from './record.js';
import { send, signalProcess } from './signals.js';
import { streamIn, streamOut } from './streams.js';
import {
  launch,
  type ProcessRecord,
  processPlaces,
  processUuid,
  recordedProcesses,
  recordLaunch,
} from './supervisor.js';
import { withTerminalModes } from './terminal-modes.js';
import { type ContainerUser, findUser } from './users.js';

const PROCESS_ID = /^[A-Za-z0-9._-]{1,128}$/;
/** Bytes of the user database that are looked at. */
const DATABASE_LIMIT = 1024 * 1024;
/** Bytes of the files that say what names mean. */
const NAME_FILE_LIMIT = 64 * 1024;
/** The runtime takes some 30 ms; this long only on a machine in trouble. */
const START_TIMEOUT_MS = 30_000;
/** How long processes may take to die of KILL. */
const KILL_WAIT_MS = 10_000;

/** A container that exists whole. */
export class OciContainer implements GardenContainer {
  readonly handle: string;
  readonly spec: GardenSpec;
  private readonly cgroup: ContainerCgroup;
  private readonly files: ContainerFiles;
  private readonly processes = new Map<string, OciProcess>();
  private readonly persons = new Set<PersonsProcess>();
  private readonly launches = new Set<Promise<OciProcess>>();
  private readonly door: NetworkDoor;
  private closed = false;
  private ending = false;

  constructor(
    private readonly cell: Cell,
    readonly places: ContainerPlaces,
    readonly record: ContainerRecord,
  ) {
    this.handle = record.spec.handle;
    this.spec = record.spec;
    this.cgroup = new ContainerCgroup(places.cgroup);
    this.files = new ContainerFiles(`/proc/${record.init.pid}/root`);
    this.door = new NetworkDoor(places.netns);
  }

  /** Takes up the processes of an earlier life, and ends those that belonged to its people. */
  async adopt(): Promise<void> {
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
  }

  info(): ContainerInfo {
    return this.record.info;
  }

  async run(spec: ProcessSpec): Promise<GardenProcess> {
    this.assertUsable();
    if (!PROCESS_ID.test(spec.id) || spec.id.startsWith('.')) {
      throw new GardenError('process-failed', `process id '${spec.id}' is not 1..128 of A-Z a-z 0-9 . _ -`);
    }
    if (this.processes.has(spec.id)) throw new GardenError('process-exists', `process '${spec.id}' exists already`);
    const user = await this.user(spec.user || (this.record.info.imageUser ?? ''));
    const cwd = await this.workingDirectory(spec.dir || (this.record.info.imageDir ?? ''), user);
    const uuid = processUuid({ cellId: this.cell.settings.cellId, handle: this.handle, id: spec.id });
    const launchedAtMs = this.cell.settings.clock.now();
    const nofile = spec.nofile || this.cell.settings.nofile;
    const env = [this.record.info.imageEnv, this.spec.env, spec.env];
    const request = { path: spec.path, args: spec.args, user, cwd, env, nofile };
    this.assertUsable();
    const launching = this.launch({ id: spec.id, uuid, launchedAtMs }, this.processSpec(request));
    this.launches.add(launching);
    const process = await launching.finally(() => this.launches.delete(launching));
    const { failure } = await process.started(START_TIMEOUT_MS);
    if (failure) throw new GardenError('process-failed', failure);
    failpoint('cell.process-started');
    return process;
  }

  attach(id: string): GardenProcess | undefined {
    return this.processes.get(id);
  }

  async exec(spec: ExecSpec): Promise<InteractiveProcess> {
    this.assertUsable();
    const user = await this.user(spec.user || (this.record.info.imageUser ?? ''));
    const cwd = await this.workingDirectory(spec.dir || (this.record.info.imageDir ?? ''), user);
    const [path, leading] = spec.path === '' ? await this.shell(user) : [spec.path, []];
    const term: Record<string, string> = spec.terminal ? { TERM: spec.terminal.term } : {};
    const env = [this.record.info.imageEnv, this.spec.env, term, spec.env];
    const [program, args] = withTerminalModes(path, [...leading, ...spec.args], spec.terminal);
    return this.startPerson({ path: program, args, user, cwd, env }, spec.terminal);
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
    await streamIn({ start: this.starter, files, path: absolute(path), user: await this.user(user), tar });
  }

  async streamOut(path: string, user: string): Promise<Readable> {
    this.assertUsable();
    return streamOut({ start: this.starter, files: this.files, path: absolute(path), user: await this.user(user) });
  }

  async metrics(): Promise<GardenMetrics> {
    const { places, record, cgroup } = this;
    return readMetrics({ places, record, cgroup, nowMs: this.cell.settings.clock.now() });
  }

  /** Takes no more processes, and waits for those that are just being launched: the container is about to end. */
  async refuseWork(): Promise<void> {
    this.ending = true;
    this.door.close();
    await Promise.allSettled(this.launches);
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
    this.door.close();
    for (const process of this.processes.values()) process.close();
    for (const person of this.persons) person.kill();
    await Promise.all([...this.persons].map((person) => person.exited));
  }

  private readonly starter = (o: {
    path: string;
    args: string[];
    user: ContainerUser;
    cwd: string;
  }): Promise<InteractiveProcess> => this.startPerson({ ...o, env: [] });

  private async startPerson(
    request: Omit<ProcessRequest, 'privileged' | 'nofile' | 'terminal'>,
    terminal?: ExecSpec['terminal'],
  ): Promise<InteractiveProcess> {
    const { cell, places, cgroup } = this;
    const spec = this.processSpec({ ...request, nofile: cell.settings.nofile, ...(terminal ? { terminal } : {}) });
    const person = await startExec({ cell, places, cgroup, spec, ...(terminal ? { terminal } : {}) });
    this.persons.add(person);
    void person.exited.then(() => this.persons.delete(person));
    if (this.closed) person.kill();
    return person;
  }

  private processSpec(request: Omit<ProcessRequest, 'privileged'>): object {
    return processSpec({ ...request, privileged: this.spec.privileged });
  }

  private async launch(record: ProcessRecord, spec: object): Promise<OciProcess> {
    const places = processPlaces(this.places, record.id);
    try {
      await recordLaunch(places, record, spec);
      failpoint('cell.process-recorded');
      await launch({
        places,
        uuid: record.uuid,
        handle: this.handle,
        runtime: { path: this.cell.runtime, root: this.cell.places.runtimeRoot },
        outputLimitBytes: this.cell.settings.outputLimitBytes,
      });
    } catch (cause) {
      if (cause instanceof GardenError) throw cause;
      throw new GardenError('process-failed', cause instanceof Error ? cause.message : String(cause), { cause });
    }
    return this.follow(record);
  }

  private follow(o: { id: string; uuid: string; launchedAtMs: number }): OciProcess {
    const { clock, log } = this.cell.settings;
    const process = new OciProcess({ ...o, places: processPlaces(this.places, o.id), cgroup: this.cgroup, clock, log });
    this.processes.set(o.id, process);
    return process;
  }

  private async user(user: string): Promise<ContainerUser> {
    const [passwd, group] = await Promise.all(
      ['/etc/passwd', '/etc/group'].map((path) => this.files.readText(path, DATABASE_LIMIT)),
    );
    return findUser({ user, passwd, group });
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

  private assertUsable(): void {
    if (this.closed) throw new GardenError('closed', 'the garden was closed');
    if (this.ending || !isInitAlive(this.record))
      throw new GardenError('process-failed', `container '${this.handle}' does not run any more`);
  }
}

function absolute(path: string): string {
  return path.startsWith('/') ? path : `/${path}`;
}
