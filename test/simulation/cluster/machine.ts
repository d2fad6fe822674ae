import { ResourceLedger } from '@rivera/cells/executor/containers/resources';
import type { ContainerRecord, ExecutorResources, RunRequest } from '@rivera/cells/executor/executor';
import type { Chance } from './chance.js';
import type { Coverage } from './coverage.js';
import type { VirtualTime } from './virtual-time.js';

/** A process in a container: it ends by itself, when it is told to, or with its machine. */
export interface SimulatedProcess {
  exit: { failed: boolean; reason: string } | undefined;
  /** When it passes its checks, if it lives. */
  readonly healthyAtMs: number;
  onExit: (() => void) | undefined;
}

/** A container with what its executor's disk says of it. */
export interface SimulatedContainer {
  record: ContainerRecord;
  request: RunRequest | undefined;
  /** There once the container was made; what ran in it outlives the agent. */
  process: SimulatedProcess | undefined;
  stopping: boolean;
  deleting: boolean;
}

export interface MachineOptions {
  readonly cellId: string;
  readonly time: VirtualTime;
  readonly chance: Chance;
  readonly coverage: Coverage;
  readonly total: ExecutorResources;
  /** Code of a piece of work begins to run. */
  readonly onExecution: (container: ContainerRecord, cellId: string) => void;
  /** The agent lets go of a container. */
  readonly onRelease: (container: ContainerRecord, cellId: string) => void;
}

/** A machine with its disk and the containers on it. It outlives the agents that are started on it. */
export class Machine {
  readonly containers = new Map<string, SimulatedContainer>();
  ledger: ResourceLedger;
  /** Whether processes may still end by themselves. */
  calm = false;
  private addresses = 0;

  constructor(readonly options: MachineOptions) {
    this.ledger = new ResourceLedger(options.total);
  }

  get cellId(): string {
    return this.options.cellId;
  }

  /** Starts what is to run in a container. */
  launch(container: SimulatedContainer): SimulatedProcess {
    const { time, chance, coverage, onExecution } = this.options;
    const isTask = container.record.tags.lifecycle === 'task';
    onExecution(container.record, this.cellId);
    const process: SimulatedProcess = {
      exit: undefined,
      healthyAtMs: time.nowMs + (isTask ? 0 : chance.between(10, 2_000)),
      onExit: undefined,
    };
    container.process = process;
    const crashes = !isTask && !this.calm && chance.percent(25);
    if (isTask || crashes) {
      const failed = crashes || chance.percent(20);
      time.after(chance.between(10, isTask ? 8_000 : 20_000), () => {
        if (process.exit !== undefined || (crashes && this.calm)) return;
        if (crashes) coverage.note('container crashed');
        this.end(process, { failed, reason: failed ? 'exited with status 1' : '' });
      });
    }
    return process;
  }

  end(process: SimulatedProcess, exit: { failed: boolean; reason: string }): void {
    if (process.exit !== undefined) return;
    process.exit = exit;
    process.onExit?.();
  }

  /** Its processes are gone, its disk is not. */
  crash(): void {
    for (const container of this.containers.values()) container.process = undefined;
  }

  /** Another machine takes the place: nothing is left. */
  replace(): void {
    this.containers.clear();
    this.ledger = new ResourceLedger(this.options.total);
  }

  isRunning(guid: string): boolean {
    const process = this.containers.get(guid)?.process;
    return process !== undefined && process.exit === undefined;
  }

  nextAddress(): string {
    return `10.0.${(this.addresses >> 8) & 255}.${this.addresses++ & 255}`;
  }

  /** What is set aside, counted anew from the containers. */
  held(): ExecutorResources {
    const held = { memoryMb: 0, diskMb: 0, containers: 0 };
    for (const { record } of this.containers.values()) {
      held.memoryMb += record.resources.memoryMb;
      held.diskMb += record.resources.diskMb;
      held.containers += record.resources.containers;
    }
    return held;
  }
}
