import type { Clock } from '@rivera/kit/clock';
import {
  type EgressRule,
  type ExitStatus,
  GardenError,
  type GardenSpec,
  type PortMapping,
  type ProcessOutput,
  type ProcessSpec,
  type WindowSize,
} from '../garden.js';
import { type Behaviour, behaviourOf } from './programs.js';

/** Of a line without end no more than this is kept. */
const MAX_LINE_LENGTH = 64 * 1024;

const SIGNAL_NUMBERS: Partial<Record<NodeJS.Signals, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGUSR2: 12,
  SIGTERM: 15,
};

/** A file of a simulated container. */
export interface SimFile {
  mode: number;
  uid: number;
  gid: number;
  content: Buffer;
}

/** A simulated container. */
export class SimContainerState {
  readonly processes = new Map<string, SimProcessState>();
  readonly files = new Map<string, SimFile>();
  /** What `netOut` added. */
  readonly egress: EgressRule[] = [];
  stopped = false;

  constructor(
    public spec: GardenSpec,
    readonly createdAtMs: number,
    readonly address: string,
    readonly ports: PortMapping[],
  ) {}
}

/** A simulated process: a timer at most. */
export class SimProcessState {
  readonly output: ProcessOutput[] = [];
  status: ExitStatus | undefined;
  window: WindowSize | undefined;
  private input = '';
  private cancel: (() => void) | undefined;
  private readonly listeners = new Set<() => void>();

  constructor(
    readonly id: string,
    private readonly clock: Clock,
    private readonly termDelayMs: number,
    readonly spec: ProcessSpec,
    private readonly answer: Behaviour['answer'],
  ) {
    this.window = spec.terminal;
  }

  /** Calls a listener at every change; returns how to stop that. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  print(stream: 'stdout' | 'stderr', line: string): void {
    this.output.push({ timeMs: this.clock.now(), stream, data: Buffer.from(line), partial: false });
    this.changed();
  }

  /** Takes input; each line of it may be answered with one of output. */
  write(data: Buffer): void {
    if (this.status) return;
    const lines = (this.input + data.toString()).split('\n');
    this.input = lines.pop() ?? '';
    if (this.input.length > MAX_LINE_LENGTH) this.input = '';
    for (const line of lines) if (this.answer) this.print('stdout', this.answer(line, this.window));
  }

  /** Who answers has nothing more to do then. */
  closeInput(): void {
    if (this.answer) this.end({ code: 0, outOfMemory: false });
  }

  endAfter(ms: number, code: number): void {
    this.cancel?.();
    if (ms <= 0) this.end({ code, outOfMemory: false });
    else this.cancel = this.clock.setTimer(ms, () => this.end({ code, outOfMemory: false }), { unref: true });
  }

  signal(signal: NodeJS.Signals): void {
    if (this.status) return;
    const code = 128 + (SIGNAL_NUMBERS[signal] ?? 15);
    this.endAfter(signal === 'SIGKILL' ? 0 : this.termDelayMs, code);
  }

  end(status: ExitStatus): void {
    if (this.status) return;
    this.cancel?.();
    this.status = status;
    this.changed();
  }

  private changed(): void {
    for (const listener of [...this.listeners]) listener();
  }
}

/** What a simulated machine offers. */
export interface SimMachineOptions {
  clock: Clock;
  memoryMb?: number;
  diskMb?: number;
  containers?: number;
  rootFs?: string[];
  hostAddress?: string;
  /** First host port; each next one is one higher, and none is used twice. */
  firstPort?: number;
}

/** A machine without processes. It outlives the gardens that are made on it, as a real one outlives its agent. */
export class SimMachine {
  readonly containers = new Map<string, SimContainerState>();
  readonly clock: Clock;
  private made = 0;
  private nextPort: number;
  private readonly portsInUse = new Set<number>();

  constructor(readonly options: SimMachineOptions) {
    this.clock = options.clock;
    this.nextPort = options.firstPort ?? 61_001;
  }

  create(spec: GardenSpec): SimContainerState {
    const number = ++this.made;
    const address = `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
    const ports = [...new Set(spec.ports)].map((containerPort) => ({ hostPort: this.takePort(), containerPort }));
    const container = new SimContainerState(spec, this.clock.now(), address, ports);
    this.containers.set(spec.handle, container);
    return container;
  }

  /** A host port that nobody has: the one asked for, or any. @throws GardenError `no-ports` */
  takePort(wanted?: number): number {
    if (wanted === undefined) while (this.portsInUse.has(this.nextPort)) this.nextPort++;
    const port = wanted ?? this.nextPort++;
    if (this.portsInUse.has(port)) throw new GardenError('no-ports', `port already acquired: ${port}`);
    this.portsInUse.add(port);
    return port;
  }

  /** Starts a process; undefined when there is no such program. */
  start(container: SimContainerState, spec: ProcessSpec): SimProcessState | undefined {
    const behaviour = behaviourOf(spec);
    if (behaviour.kind === 'missing') return undefined;
    const process = new SimProcessState(spec.id, this.clock, behaviour.termDelayMs, spec, behaviour.answer);
    container.processes.set(spec.id, process);
    for (const line of behaviour.lines) process.print('stdout', line);
    for (const file of behaviour.writes)
      container.files.set(file.path, { mode: 0o644, uid: 0, gid: 0, content: Buffer.from(file.content) });
    if (behaviour.kind === 'exits') process.endAfter(behaviour.afterMs, behaviour.code);
    return process;
  }

  /** The end of a container and of all in it. */
  destroy(handle: string): void {
    const container = this.containers.get(handle);
    this.containers.delete(handle);
    for (const { hostPort } of container?.ports ?? []) this.portsInUse.delete(hostPort);
    for (const process of container?.processes.values() ?? []) process.signal('SIGKILL');
  }

  /** What a killed supervisor leaves: processes of which nobody knows the end. */
  lose(handle: string, id: string): void {
    this.containers
      .get(handle)
      ?.processes.get(id)
      ?.end({ code: 255, outOfMemory: false, lost: 'its supervisor is gone' });
  }
}
