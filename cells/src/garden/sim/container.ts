import { PassThrough, type Readable } from 'node:stream';
import { assertEgressRules, assertPortRequest } from '../egress-rule.js';
import {
  type ContainerInfo,
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
} from '../garden.js';
import { Grace } from '../grace.js';
import { limitChange } from '../limits.js';
import { assertMemoryShare } from '../memory-share.js';
import { propertyOf, withGraceTime, withoutProperty, withProperty } from '../properties.js';
import { packFiles, unpackFiles } from './files.js';
import type { SimContainerState, SimMachine } from './machine.js';
import { SimProcess } from './process.js';
import { behaviourOf } from './programs.js';

/** Users that simulated containers have, beside numbers. */
const USERS = new Set(['', 'root', 'vcap']);

/** Owners of what a user unpacks; root keeps those of the archive. */
const OWNERS: Record<string, { uid: number; gid: number } | undefined> = { vcap: { uid: 1000, gid: 1000 } };

/** One garden's view of a simulated container. */
export class SimContainer implements GardenContainer {
  private readonly processes = new Map<string, SimProcess>();
  private readonly grace: Grace;
  private closed = false;

  constructor(
    private readonly machine: SimMachine,
    private readonly state: SimContainerState,
    onUnused: () => void,
  ) {
    this.grace = new Grace(machine.clock, state.spec.graceTimeMs ?? 0, onUnused);
  }

  get handle(): string {
    return this.state.spec.handle;
  }

  get spec(): GardenSpec {
    return this.state.spec;
  }

  info(): ContainerInfo {
    const hostAddress = this.machine.options.hostAddress ?? '127.0.0.1';
    return { hostAddress, containerAddress: this.state.address, ports: [...this.state.ports], imageEnv: {} };
  }

  async status(): Promise<ContainerStatus> {
    const processes = [...this.state.processes.values()].map(({ id, status }) => ({ id, ended: status !== undefined }));
    return { state: this.state.stopped ? 'stopped' : 'active', events: [], processes };
  }

  property(name: string): string {
    return propertyOf(this.spec, name);
  }

  async setProperty(name: string, value: string): Promise<void> {
    this.changeSpec((spec) => withProperty(spec, name, value));
  }

  async removeProperty(name: string): Promise<void> {
    this.changeSpec((spec) => withoutProperty(spec, name));
  }

  async limits(): Promise<GardenLimits> {
    return { ...this.spec.limits };
  }

  async setLimits(wanted: Partial<GardenLimits>): Promise<GardenLimits> {
    const change = limitChange(this.spec.limits, wanted);
    this.changeSpec((spec) => ({ ...spec, limits: { ...spec.limits, ...change } }));
    return this.limits();
  }

  async setGraceTime(graceTimeMs: number): Promise<void> {
    this.state.spec = withGraceTime(this.spec, graceTimeMs);
    this.grace.set(graceTimeMs);
  }

  run(spec: ProcessSpec): Promise<GardenProcess> {
    return this.grace.during(() => this.start(spec));
  }

  private async start(spec: ProcessSpec): Promise<GardenProcess> {
    if (this.closed) throw new GardenError('closed', 'the garden was closed');
    if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/.test(spec.id)) {
      throw new GardenError('process-failed', `process id '${spec.id}' is not 1..128 of A-Z a-z 0-9 . _ -`);
    }
    if (this.state.processes.has(spec.id))
      throw new GardenError('process-exists', `process '${spec.id}' exists already`);
    if (spec.memoryShare) assertMemoryShare(spec.memoryShare);
    this.assertUser(spec.user);
    if (!this.machine.start(this.state, spec))
      throw new GardenError('process-failed', `exec: "${spec.path}": no such file or directory`);
    return this.attach(spec.id) as GardenProcess;
  }

  attach(id: string): GardenProcess | undefined {
    const known = this.processes.get(id);
    const state = this.state.processes.get(id);
    if (known || !state) return known;
    const process = new SimProcess(state, () => this.grace.begin());
    this.processes.set(id, process);
    return process;
  }

  /** Prints what the program would print and ends; a program that runs ends with its input. */
  async exec(spec: ExecSpec): Promise<InteractiveProcess> {
    this.assertUser(spec.user);
    const behaviour = behaviourOf(spec);
    if (behaviour.kind === 'missing')
      throw new GardenError('process-failed', `exec: "${spec.path}": no such file or directory`);
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    let settle: (end: { code: number }) => void = () => undefined;
    const ended = new Promise<{ code: number }>((resolve) => {
      settle = resolve;
    });
    const release = this.grace.begin();
    const end = (code: number) => {
      release();
      stdout.end();
      stderr.end();
      settle({ code });
    };
    for (const line of behaviour.lines) stdout.write(`${line}\n`);
    if (behaviour.kind === 'exits') end(behaviour.code);
    else stdin.once('finish', () => end(0));
    stdin.resume();
    return {
      stdin,
      stdout,
      stderr,
      resize: () => undefined,
      signal: () => end(143),
      wait: () => ended,
      kill: () => end(137),
    };
  }

  async stop(graceMs: number): Promise<void> {
    await this.grace.during(() => this.endProcesses(graceMs));
    this.state.stopped = true;
  }

  private async endProcesses(graceMs: number): Promise<void> {
    const running = () => [...this.state.processes.values()].filter((process) => !process.status);
    if (graceMs > 0) for (const process of running()) process.signal('SIGTERM');
    const left = running();
    if (left.length === 0) return;
    const over = new AbortController();
    const allEnded = Promise.all(left.map((process) => new SimProcess(process).wait())).then(() => over.abort());
    await Promise.race([allEnded, this.machine.clock.sleep(graceMs, over.signal).catch(() => undefined)]);
    over.abort();
    for (const process of running()) process.signal('SIGKILL');
  }

  async streamIn(path: string, user: string, tar: Readable): Promise<void> {
    this.assertUser(user);
    const owner = OWNERS[user] ?? ownerOf(user);
    await this.grace.during(() => unpackFiles(this.state.files, { dir: path, owner }, tar));
  }

  async streamOut(path: string, user: string): Promise<Readable> {
    this.assertUser(user);
    return packFiles(this.state.files, path);
  }

  async metrics(): Promise<GardenMetrics> {
    const pids = [...this.state.processes.values()].filter((process) => !process.status).length;
    const diskBytes = [...this.state.files.values()].reduce((sum, file) => sum + file.content.length, 0);
    const ageMs = this.machine.clock.now() - this.state.createdAtMs;
    return { memoryBytes: pids * 1024 * 1024, cpuTimeNs: 0, diskBytes, pids, rxBytes: 0, txBytes: 0, ageMs };
  }

  async netOut(rules: readonly EgressRule[]): Promise<void> {
    if (this.closed) throw new GardenError('closed', 'the garden was closed');
    assertEgressRules(rules, this.spec.egress.length + this.state.egress.length);
    this.state.egress.push(...rules);
  }

  async netIn(wanted: Partial<PortMapping>): Promise<PortMapping> {
    if (this.closed) throw new GardenError('closed', 'the garden was closed');
    assertPortRequest(wanted);
    const hostPort = this.machine.takePort(wanted.hostPort || undefined);
    const mapping = { hostPort, containerPort: wanted.containerPort || hostPort };
    this.state.ports.push(mapping);
    return mapping;
  }

  close(): void {
    this.closed = true;
    this.endUses();
    for (const process of this.processes.values()) process.close();
  }

  /** Its grace time is over with it. */
  endUses(): void {
    this.grace.close();
  }

  private changeSpec(next: (spec: GardenSpec) => GardenSpec): void {
    if (this.machine.containers.get(this.handle) !== this.state)
      throw new GardenError('not-found', `unknown handle: ${this.handle}`);
    this.grace.begin()();
    this.state.spec = next(this.state.spec);
  }

  private assertUser(user: string): void {
    if (!USERS.has(user) && !/^\d+(:\d+)?$/.test(user)) {
      throw new GardenError('process-failed', `unable to find user ${user}: no matching entries in passwd file`);
    }
  }
}

/** Whom files belong to that a user unpacks; undefined: whom the archive says. */
function ownerOf(user: string): { uid: number; gid: number } | undefined {
  const [uid, gid] = user.split(':').map(Number);
  return uid ? { uid, gid: gid ?? 0 } : undefined;
}
