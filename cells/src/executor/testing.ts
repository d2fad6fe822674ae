import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Action, type CheckDefinition, RunAction } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import { type LogEntry, LogFilter } from '@rivera/gen/rivera/rep/v1/container';
import { ManualClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import type { InstanceIssuer } from '@rivera/kit/tls/instance-issuer';
import { SimMachine } from '../garden/sim/machine.js';
import { SimGarden } from '../garden/sim/sim-garden.js';
import { defaultExecutorConfig, type ExecutorConfig } from './config.js';
import type { ContainerEvent, ContainerRecord, RunRequest } from './executor.js';
import { ContainerExecutor } from './executor-impl.js';
import type { Prober } from './health/prober.js';
import { InMemoryLogStore } from './logs/memory-log-store.js';
import { MemoryRecordStore } from './store/memory-record-store.js';
import type { RecordStore } from './store/record-store.js';

/** An executor on a simulated machine, with a clock that stands still, for tests. */
export class TestCell {
  readonly clock = new ManualClock(1_700_000_000_000);
  /** By how much the time of day is ahead of that. */
  leapMs = 0;
  readonly machine = new SimMachine({ clock: this.clock, memoryMb: 1000, diskMb: 10_000, containers: 10 });
  readonly logs = new InMemoryLogStore({ cellId: 'cell-1', clock: this.clock });
  readonly events: ContainerEvent[] = [];
  store: RecordStore = new MemoryRecordStore();
  prober: Prober = { probe: async () => undefined };
  issuer: InstanceIssuer | undefined;
  garden = new SimGarden(this.machine);
  executor!: ContainerExecutor;

  private constructor(
    readonly directory: string,
    private readonly config: Partial<ExecutorConfig>,
  ) {}

  static async open(
    config: Partial<ExecutorConfig> = {},
    prepare: (cell: TestCell) => void = () => {},
  ): Promise<TestCell> {
    const cell = new TestCell(await mkdtemp(join(tmpdir(), 'executor-')), config);
    prepare(cell);
    await cell.startExecutor();
    return cell;
  }

  /** A new executor on the same machine and data. */
  async startExecutor(): Promise<void> {
    this.garden = new SimGarden(this.machine);
    await this.garden.start();
    this.executor = new ContainerExecutor({
      cellId: 'cell-1',
      garden: this.garden,
      config: defaultExecutorConfig(this.config),
      dataDirectory: this.directory,
      clock: {
        now: () => this.clock.now() + this.leapMs,
        setTimer: (ms, fn) => this.clock.setTimer(ms, fn),
        sleep: (...sleep) => this.clock.sleep(...sleep),
      },
      steady: this.clock,
      logger: silentLogger,
      store: this.store,
      logs: this.logs,
      prober: this.prober,
      issuer: this.issuer,
    });
    this.executor.subscribe((event) => this.events.push(event));
    await this.executor.start();
  }

  /** Lets go of the containers, and comes back. */
  async restart(): Promise<void> {
    await this.executor.close();
    await this.garden.close();
    await this.startExecutor();
  }

  async close(): Promise<void> {
    await this.executor.close();
    await this.garden.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Reserves and runs. */
  async run(guid: string, recipe: Partial<RunRequest> & Pick<RunRequest, 'action'>): Promise<void> {
    this.executor.reserve({ guid, memoryMb: 10, diskMb: 10, rootFs: 'preloaded:busybox', tags: {} });
    await this.executor.run(guid, runRequest(recipe));
  }

  /** The record once it is in that state; fails when it gets into another final state. */
  async reaches(guid: string, state: ContainerRecord['state']): Promise<ContainerRecord> {
    for (;;) {
      const record = this.executor.get(guid);
      if (record?.state === state) return record;
      if (!record || record.state === 'completed') throw new Error(`${guid} is ${JSON.stringify(record)}`);
      await new Promise<void>((resolve) => {
        const unsubscribe = this.executor.subscribe(() => {
          unsubscribe();
          resolve();
        });
      });
    }
  }

  /** Why a container ended. */
  async ends(guid: string): Promise<string> {
    const { result } = await this.reaches(guid, 'completed');
    return result
      ? `${result.failed ? 'failed' : 'succeeded'}${result.stopped ? ', stopped' : ''}${result.retryable ? ', retryable' : ''}: ${result.failureReason}`
      : 'no result';
  }

  /** `source stream text` of all lines of the container's LRP. */
  async lines(filter: Partial<LogFilter> = {}): Promise<string[]> {
    const lines: string[] = [];
    const all = this.logs.read(LogFilter.fromPartial({ processGuid: 'app', ...filter }), new AbortController().signal);
    for await (const { entries } of all) lines.push(...entries.map(lineOf));
    return lines;
  }

  /** Ids of the processes that the machine ever started in a container. */
  processes(guid: string): string[] {
    return [...(this.machine.containers.get(guid)?.processes.keys() ?? [])];
  }
}

export function lineOf(entry: LogEntry): string {
  return `${entry.source} ${entry.stream === 1 ? 'out' : 'err'} ${entry.payload.toString()}`;
}

/** A recipe with defaults. */
export function runRequest(recipe: Partial<RunRequest> & Pick<RunRequest, 'action'>): RunRequest {
  return {
    container: ContainerSpec.fromPartial({ rootFs: 'preloaded:busybox', logGuid: 'log', logSource: 'APP' }),
    startTimeoutMs: 0,
    ports: [],
    sidecars: [],
    instanceEnv: {},
    internalRoutes: [],
    metricTags: {},
    log: { logGuid: 'log', processGuid: 'app', taskGuid: '', index: 0 },
    ...recipe,
  };
}

/** Runs a program of the simulated machine. */
export function run(path: string, ...args: (string | number)[]): Action {
  return Action.fromPartial({
    action: { $case: 'runAction', value: RunAction.fromPartial({ path, args: args.map(String), user: 'vcap' }) },
  });
}

/** Puts an action together from others. */
export function act<K extends NonNullable<Action['action']>['$case']>(
  $case: K,
  value: Extract<NonNullable<Action['action']>, { $case: K }>['value'],
): Action {
  return { action: { $case, value } as NonNullable<Action['action']> };
}

export function serial(...actions: Action[]): Action {
  return act('serialAction', { actions, logSource: '' });
}

export function parallel(...actions: Action[]): Action {
  return act('parallelAction', { actions, logSource: '' });
}

export function codependent(...actions: Action[]): Action {
  return act('codependentAction', { actions, logSource: '' });
}

export function timeout(ms: number, action: Action): Action {
  return act('timeoutAction', {
    action,
    timeout: { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 },
    logSource: '',
  });
}

export function attempt(action: Action): Action {
  return act('tryAction', { action, logSource: '' });
}

/** TCP checks of ports. */
export function portChecks(ports: number[], readinessPorts: number[] = [], failureThreshold = 0): CheckDefinition {
  const check = (port: number) => ({
    probe: { $case: 'tcpCheck' as const, value: { port } },
    interval: undefined,
    timeout: undefined,
    failureThreshold,
  });
  return { checks: ports.map(check), readinessChecks: readinessPorts.map(check), logSource: '' };
}
