import { askMany } from '../bulk.js';
import { assertEgressRules } from '../egress-rule.js';
import {
  type ContainerStatus,
  type Garden,
  type GardenCapacity,
  type GardenContainer,
  GardenError,
  type GardenMetrics,
  type GardenSpec,
} from '../garden.js';
import { hasProperties } from '../properties.js';
import { SimContainer } from './container.js';
import type { SimContainerState, SimMachine } from './machine.js';

const HANDLE = /^[A-Za-z0-9_-]{1,64}$/;

/** Containers without processes: as light as objects, so that one program can be a thousand cells. */
export class SimGarden implements Garden {
  readonly backend = 'sim';
  readonly imageSchemes = [];
  private readonly containers = new Map<string, SimContainer>();
  private closed = false;

  constructor(private readonly machine: SimMachine) {}

  async start(): Promise<void> {
    for (const state of this.machine.containers.values()) this.view(state);
  }

  async ping(): Promise<void> {
    this.assertOpen();
  }

  async capacity(): Promise<GardenCapacity> {
    const { memoryMb = 65_536, diskMb = 1_048_576, containers = 1000 } = this.machine.options;
    return { memoryMb, diskMb, containers };
  }

  async preloadedRootFs(): Promise<string[]> {
    return this.machine.options.rootFs ?? ['busybox'];
  }

  async create(spec: GardenSpec): Promise<GardenContainer> {
    this.assertOpen();
    if (!HANDLE.test(spec.handle))
      throw new GardenError('create-failed', `handle '${spec.handle}' is not 1..64 of A-Z a-z 0-9 _ -`);
    if (this.containers.has(spec.handle))
      throw new GardenError('handle-in-use', `Handle '${spec.handle}' already in use`);
    if (spec.privileged) throw new GardenError('unsupported', 'privileged container creation is disabled');
    assertEgressRules(spec.egress);
    if (!spec.rootFs.startsWith('preloaded:'))
      throw new GardenError('unsupported', `root filesystem '${spec.rootFs}' is not of the kind preloaded:NAME`);
    const name = spec.rootFs.slice('preloaded:'.length);
    if (!(await this.preloadedRootFs()).includes(name))
      throw new GardenError('unknown-rootfs', `there is no root filesystem '${name}' on this cell`);
    if (this.containers.has(spec.handle))
      throw new GardenError('handle-in-use', `Handle '${spec.handle}' already in use`);
    return this.view(this.machine.create(spec));
  }

  list(properties: Readonly<Record<string, string>> = {}): GardenContainer[] {
    return [...this.containers.values()].filter(({ spec }) => hasProperties(spec, properties));
  }

  bulkStatus(handles: readonly string[]): Promise<Map<string, ContainerStatus | GardenError>> {
    return askMany(
      handles,
      (handle) => this.lookup(handle),
      (container) => container.status(),
    );
  }

  bulkMetrics(handles: readonly string[]): Promise<Map<string, GardenMetrics | GardenError>> {
    return askMany(
      handles,
      (handle) => this.lookup(handle),
      (container) => container.metrics(),
    );
  }

  lookup(handle: string): GardenContainer | undefined {
    return this.containers.get(handle);
  }

  async destroy(handle: string): Promise<void> {
    this.assertOpen();
    const container = this.containers.get(handle);
    if (!container) throw new GardenError('not-found', `unknown handle: ${handle}`);
    this.containers.delete(handle);
    container.endUses();
    this.machine.destroy(handle);
  }

  /** A pretended machine keeps nothing for the garden itself. */
  async dissolve(): Promise<void> {}

  async close(): Promise<void> {
    this.closed = true;
    for (const container of this.containers.values()) container.close();
  }

  private view(state: SimContainerState): SimContainer {
    const { handle } = state.spec;
    const container = new SimContainer(this.machine, state, () => void this.destroy(handle));
    this.containers.set(handle, container);
    return container;
  }

  private assertOpen(): void {
    if (this.closed) throw new GardenError('closed', 'the garden was closed');
  }
}
