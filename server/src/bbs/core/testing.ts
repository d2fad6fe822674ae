import type { CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import { UpdateStrategy } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { RiveraError } from '@rivera/kit/errors';
import { cellArrived } from './cell.js';
import { lookAtDue } from './converge.js';
import { desireLrp, type NewDesiredLrp } from './desired-lrp.js';
import { Draft, type Effect, type InstanceRef } from './draft.js';
import type { ActualLrpRow, DesiredLrpRow, TaskRow } from './model.js';
import { DEFAULT_POLICY, type Policy } from './policy.js';
import { State } from './state.js';
import { desireTask, type NewTask } from './task.js';

/** A BBS core without anything around it, for specifications: time moves by hand, names are counted. */
export class CoreBench {
  readonly state: State;
  now = 1_000_000;
  /** Effects of the last command. */
  effects: readonly Effect[] = [];
  private epochs = 0;
  private readonly observers = new Set<(draft: Draft) => void>();
  private readonly seenAt = new Map<string, number>();

  constructor(policy: Partial<Policy> = {}) {
    this.state = new State({ ...DEFAULT_POLICY, ...policy });
  }

  run<T>(decide: (draft: Draft) => T): T {
    const draft = new Draft(this.state, { now: this.now, newEpoch: () => `epoch-${++this.epochs}` });
    try {
      const result = decide(draft);
      this.effects = [...draft.effects];
      for (const see of this.observers) see(draft);
      return result;
    } catch (error) {
      draft.rollback();
      this.effects = [];
      throw error;
    }
  }

  /** Shows each command's draft once it has succeeded. Returns how to stop that. */
  observe(see: (draft: Draft) => void): () => void {
    this.observers.add(see);
    return () => this.observers.delete(see);
  }

  /** The reason with which a command is refused; fails when it is not. */
  refusal(decide: (draft: Draft) => unknown): string {
    try {
      this.run(decide);
    } catch (error) {
      if (error instanceof RiveraError) return error.reason;
      throw error;
    }
    throw new Error('the command was not refused');
  }

  /** Lets time pass and looks at everything that becomes due, in order. */
  pass(ms: number): Effect[] {
    const until = this.now + ms;
    const effects: Effect[] = [];
    for (let looks = 0; looks < 10_000; looks++) {
      const next = this.state.due.next();
      if (next === undefined || next > until) break;
      this.now = Math.max(this.now, next);
      for (const key of this.state.due.take(this.now, 100)) {
        this.run((draft) => lookAtDue(draft, key, (cellId) => this.seenAt.get(cellId) ?? 0));
        effects.push(...this.effects);
      }
    }
    this.now = until;
    return effects;
  }

  cell(cellId: string): void {
    this.seenAt.set(cellId, this.now);
    this.run((draft) => cellArrived(draft, presence(cellId), 'i1'));
  }

  heartbeat(cellId: string): void {
    this.seenAt.set(cellId, this.now);
  }

  lrp(processGuid: string, instances: number, extra: Partial<DesiredLrpRow> = {}): DesiredLrpRow {
    return this.run((draft) => desireLrp(draft, { ...newLrp(processGuid, instances), ...extra }));
  }

  task(guid: string, extra: Partial<TaskRow> = {}): TaskRow {
    return this.run((draft) => desireTask(draft, { ...newTask(guid), ...extra }));
  }

  slot(processGuid: string, index: number): ActualLrpRow | undefined {
    return this.state.slot(processGuid, index).ordinary;
  }
}

export const REQUIREMENTS = {
  memoryMb: 64,
  diskMb: 64,
  maxPids: 0,
  rootFs: 'preloaded:busybox',
  placementTags: [],
  volumeDrivers: [],
  proxied: false,
};

export const RUNNING_FACTS = {
  netInfo: {
    address: '127.0.0.1',
    ports: [],
    instanceAddress: '10.0.0.2',
    preferredAddress: 0,
    instanceIpv6Address: '',
  },
  internalRoutes: [],
  metricTags: {},
  routable: true,
  availabilityZone: 'z1',
};

/** A container of an instance. */
export function instance(processGuid: string, index: number, cellId: string, instanceGuid: string): InstanceRef {
  return { processGuid, index, domain: 'd', instanceGuid, cellId };
}

export function presence(cellId: string): CellPresence {
  return {
    cellId,
    repAddress: '127.0.0.1:1801',
    zone: 'z1',
    capacity: { memoryMb: 1024, diskMb: 1024, containers: 10 },
    rootFsProviders: [],
    placementTags: [],
    optionalPlacementTags: [],
    volumeDrivers: [],
    annotations: {},
    hostAddress: '127.0.0.1',
  };
}

/** What a client asks for. */
export function newLrp(processGuid: string, instances = 1): NewDesiredLrp {
  return {
    processGuid,
    domain: 'd',
    instances,
    logGuid: '',
    requirements: REQUIREMENTS,
    routes: {},
    annotation: '',
    metricTags: {},
    updateStrategy: UpdateStrategy.ROLLING,
    restartPolicy: undefined,
    definitionDigest: 'x',
    runInfo: new Uint8Array([1]),
  };
}

/** What a client asks for. */
export function newTask(guid: string): NewTask {
  return {
    guid,
    domain: 'd',
    requirements: REQUIREMENTS,
    annotation: '',
    callbackUrl: '',
    definitionDigest: 'x',
    definition: new Uint8Array([1]),
  };
}
