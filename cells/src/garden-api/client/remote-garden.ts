import type { Container } from '@rivera/gen/rivera/garden/v1/container';
import { type GardenServiceClient, GetCapacityResponse } from '@rivera/gen/rivera/garden/v1/garden_service';
import { type Clock, systemClock } from '@rivera/kit/clock';
import { serverStream, unary } from '@rivera/kit/grpc/dial';
import { assertEgressRules } from '../../garden/egress-rule.js';
import {
  type ContainerStatus,
  type Garden,
  type GardenCapacity,
  type GardenContainer,
  GardenError,
  type GardenMetrics,
  type GardenSpec,
  type ImageFetching,
} from '../../garden/garden.js';
import { hasProperties } from '../../garden/properties.js';
import { toGardenError } from '../errors.js';
import { metricsFrom, specTo, statusFrom } from '../messages.js';
import type { Ask } from './remote.js';
import { RemoteContainer } from './remote-container.js';

/** Taking away may wait for a process in the kernel. */
const DESTROY_DEADLINE_MS = 120_000;
const PAGE_SIZE = 1_000;

export interface RemoteGardenOptions {
  readonly client: GardenServiceClient;
  readonly clock?: Clock;
  /** How often is looked which containers there are: others make and destroy them too. Default 1 s. */
  readonly refreshMs?: number;
}

/**
 * A garden on the other side of `rivera.garden.v1`. `list`, `lookup`, `spec` and `info` answer from what was last seen; everything
 * else asks.
 */
export class RemoteGarden implements Garden {
  private readonly containers = new Map<string, RemoteContainer>();
  private readonly closing = new AbortController();
  private readonly clock: Clock;
  private told = GetCapacityResponse.fromPartial({});
  /** Grows with each change of what is there, so that an older look at it can be told. */
  private changes = 0;
  private cancelRefresh: () => void = () => undefined;
  private refreshing: Promise<void> = Promise.resolve();

  constructor(private readonly options: RemoteGardenOptions) {
    this.clock = options.clock ?? systemClock;
  }

  get backend(): Garden['backend'] {
    return this.told.backend === 'sim' ? 'sim' : 'oci';
  }

  get imageSchemes(): readonly string[] {
    return this.told.imageSchemes;
  }

  async start(): Promise<void> {
    const { client } = this.options;
    this.told = await this.ask(client.getCapacity, {}, { otherwise: 'unavailable' });
    await this.look();
    this.refreshLater();
  }

  async ping(): Promise<void> {
    await this.ask(this.options.client.ping, {}, { otherwise: 'unavailable' });
  }

  async capacity(): Promise<GardenCapacity> {
    const { client } = this.options;
    const told = await this.ask(client.getCapacity, {}, { otherwise: 'unavailable' });
    return { memoryMb: told.memoryMb, diskMb: told.diskMb, containers: told.maxContainers };
  }

  async preloadedRootFs(): Promise<string[]> {
    return (await this.ask(this.options.client.getCapacity, {}, { otherwise: 'unavailable' })).preloadedRootFs;
  }

  /** Without a deadline: an image takes as long as it takes, and a service that is gone is noticed by the connection. */
  async create(spec: GardenSpec, { credentials, signal, progress }: ImageFetching = {}): Promise<GardenContainer> {
    assertEgressRules(spec.egress);
    const request = { spec: specTo(spec), imageCredentials: credentials };
    const closing = this.closing.signal;
    const either = signal ? AbortSignal.any([signal, closing]) : closing;
    try {
      const { client } = this.options;
      let made: Container | undefined;
      for await (const { event } of serverStream(() => client.createContainerWithProgress(request), either)) {
        if (event?.$case === 'progress') progress?.(event.value);
        if (event?.$case === 'container') made = event.value;
      }
      if (!made) throw new GardenError('create-failed', 'the service shows no container');
      this.changes++;
      return this.see(made);
    } catch (error) {
      closing.throwIfAborted();
      signal?.throwIfAborted();
      throw toGardenError(error, 'create-failed');
    }
  }

  list(properties: Readonly<Record<string, string>> = {}): GardenContainer[] {
    return [...this.containers.values()].filter(({ spec }) => hasProperties(spec, properties));
  }

  lookup(handle: string): GardenContainer | undefined {
    return this.containers.get(handle);
  }

  async bulkStatus(handles: readonly string[]): Promise<Map<string, ContainerStatus | GardenError>> {
    const { client } = this.options;
    const { results } = await this.ask(
      client.batchGetContainers,
      { handles: [...handles] },
      { otherwise: 'unavailable' },
    );
    return new Map(
      results.map(({ handle, result }) => [
        handle,
        result?.$case === 'container' ? statusFrom(result.value) : failed(result?.value),
      ]),
    );
  }

  async bulkMetrics(handles: readonly string[]): Promise<Map<string, GardenMetrics | GardenError>> {
    const { client } = this.options;
    const { results } = await this.ask(client.batchGetMetrics, { handles: [...handles] }, { otherwise: 'unavailable' });
    return new Map(
      results.map(({ handle, result }) => [
        handle,
        result?.$case === 'metrics' ? metricsFrom(result.value) : failed(result?.value),
      ]),
    );
  }

  async destroy(handle: string): Promise<void> {
    const { client } = this.options;
    await this.ask(
      client.destroyContainer,
      { handle },
      { otherwise: 'destroy-failed', deadlineMs: DESTROY_DEADLINE_MS },
    );
    this.changes++;
    this.containers.delete(handle);
  }

  /** What the garden put on its machine is the business of its agent. */
  async dissolve(): Promise<void> {}

  async close(): Promise<void> {
    this.closing.abort(new GardenError('closed', 'the garden was closed'));
    this.cancelRefresh();
    await this.refreshing;
    this.options.client.close();
  }

  private readonly ask: Ask = async (method, request, { otherwise, deadlineMs, signal }) => {
    const closing = this.closing.signal;
    try {
      return await unary(this.options.client, method, request, {
        signal: signal ? AbortSignal.any([signal, closing]) : closing,
        ...(deadlineMs === undefined ? {} : { deadlineMs }),
      });
    } catch (error) {
      closing.throwIfAborted();
      signal?.throwIfAborted();
      throw toGardenError(error, otherwise);
    }
  };

  private see(container: Container): RemoteContainer {
    const handle = container.spec?.handle ?? '';
    const known = this.containers.get(handle);
    if (known) {
      known.saw(container);
      return known;
    }
    const { client } = this.options;
    const made = new RemoteContainer({ client, ask: this.ask, closing: this.closing.signal }, container);
    this.containers.set(handle, made);
    return made;
  }

  private refreshLater(): void {
    if (this.closing.signal.aborted) return;
    this.cancelRefresh = this.clock.setTimer(
      this.options.refreshMs ?? 1_000,
      () => {
        // Until the service answers again what was last seen is the best there is.
        this.refreshing = this.look().catch(() => undefined);
        void this.refreshing.then(() => this.refreshLater());
      },
      { unref: true },
    );
  }

  /** Which containers there are. */
  private async look(): Promise<void> {
    const { client } = this.options;
    const before = this.changes;
    const found: Container[] = [];
    let pageToken = '';
    do {
      const request = { properties: {}, pageSize: PAGE_SIZE, pageToken };
      const answer = await this.ask(client.listContainers, request, { otherwise: 'unavailable' });
      found.push(...answer.containers);
      pageToken = answer.nextPageToken;
    } while (pageToken !== '');
    if (this.changes !== before) return;
    for (const container of found) this.see(container);
    const handles = new Set(found.map(({ spec }) => spec?.handle));
    for (const handle of this.containers.keys()) if (!handles.has(handle)) this.containers.delete(handle);
  }
}

function failed(failure: { reason: string; message: string } | undefined): GardenError {
  const kind = failure?.reason === 'CONTAINER_NOT_FOUND' ? 'not-found' : 'unavailable';
  return new GardenError(kind, failure?.message ?? 'the service gave no answer');
}
