import type { Container } from '@rivera/gen/rivera/garden/v1/container';
import type * as Api from '@rivera/gen/rivera/garden/v1/garden_service';
import type { GardenServiceService } from '@rivera/gen/rivera/garden/v1/garden_service';
import { RiveraError } from '@rivera/kit/errors';
import type { Access, CallContext, Handlers } from '@rivera/kit/grpc/host';
import { type Garden, type GardenContainer, GardenError, type GardenLimits } from '../garden/garden.js';
import { page } from '../rep/pages.js';
import { isManaged, managedError, Park, unknownHandle } from './containers.js';
import { Creation } from './creation.js';
import { toRiveraError } from './errors.js';
import { exec } from './exec.js';
import { streamIn, streamOut } from './files.js';
import { containerTo, limitsTo, metricsTo, msOf, rulesFrom } from './messages.js';
import { attach, run } from './processes.js';
import { Rules, requireDuration, requireEgress, requireHandles, requireProperty } from './validate.js';

/** How long processes have to end when a client says nothing of it (spec cell §42). */
const USUAL_STOP_MS = 10_000;
const MAX_STOP_MS = 3_600_000;

/** Whoever may make containers with directories of the host in them is as good as root there, so it takes a role of its own. */
export const GARDEN_ACCESS: Access<typeof GardenServiceService> = {
  default: ['garden'],
  reads: [
    'ping',
    'getCapacity',
    'listContainers',
    'getContainer',
    'batchGetContainers',
    'getMetrics',
    'batchGetMetrics',
    'getLimits',
    'listProperties',
    'getProperty',
  ],
};

export interface GardenServiceOptions {
  readonly garden: Garden;
  readonly cellId: string;
}

/** A cell's garden for others: handlers of `rivera.garden.v1.GardenService`. */
export function gardenService({ garden, cellId }: GardenServiceOptions): Handlers<typeof GardenServiceService> {
  const park = new Park(garden);
  return {
    ...containers(park),
    ...upkeep(park),
    streamIn: (requests, context) => streamIn(park, requests, context),
    streamOut: (request, context) => streamOut(park, request, context),
    run: (requests, context) => run(park, requests, context),
    attach: (requests, context) => attach(park, requests, context),
    exec: (requests, context) => exec({ park, cellId }, requests, context),
  };
}

/** Containers as a whole. */
function containers(park: Park) {
  const { garden } = park;
  const creation = new Creation(park, shown);
  return {
    ping: (): Promise<Api.PingResponse> => asking(() => done(garden.ping())),

    getCapacity: (): Promise<Api.GetCapacityResponse> =>
      asking(async () => {
        const { memoryMb, diskMb, containers: maxContainers } = await garden.capacity();
        const preloadedRootFs = await garden.preloadedRootFs();
        const { backend, imageSchemes } = garden;
        return { memoryMb, diskMb, maxContainers, preloadedRootFs, imageSchemes: [...imageSchemes], backend };
      }),

    async createContainer(
      request: Api.CreateContainerRequest,
      { signal }: CallContext,
    ): Promise<Api.CreateContainerResponse> {
      return { container: await creation.make(request, { signal }) };
    },

    createContainerWithProgress: (request: Api.CreateContainerWithProgressRequest, context: CallContext) =>
      creation.makeAndTell(request, context),

    destroyContainer: ({ handle }: Api.DestroyContainerRequest): Promise<Api.DestroyContainerResponse> =>
      asking(async () => {
        // One that is no longer whole, as its destruction failed or is under way, can be destroyed too.
        const container = garden.lookup(handle);
        if (container && isManaged(container)) throw managedError(handle);
        await garden.destroy(handle);
        return {};
      }, handle),

    async stopContainer({ handle, kill, grace }: Api.StopContainerRequest): Promise<Api.StopContainerResponse> {
      const container = park.own(handle);
      const graceMs = kill ? 0 : grace ? msOf(grace) : USUAL_STOP_MS;
      const rules = new Rules();
      rules.require(graceMs >= 0 && graceMs <= MAX_STOP_MS, 'grace', 'is within 0 s..1 h');
      rules.check();
      return asking(() => done(container.stop(graceMs)), handle);
    },

    listContainers: (request: Api.ListContainersRequest): Promise<Api.ListContainersResponse> =>
      asking(async () => {
        const found = page(garden.list(request.properties), ({ handle }) => handle, request);
        const all = await many(found.entries.map(({ handle }) => handle));
        // Those that are destroyed at this moment are left out.
        const list = [...all.values()].flatMap((each) => (each instanceof GardenError ? [] : [each]));
        return { containers: list, nextPageToken: found.nextPageToken };
      }),

    getContainer: ({ handle }: Api.GetContainerRequest): Promise<Api.GetContainerResponse> =>
      asking(async () => ({ container: await shown(park.find(handle)) }), handle),

    batchGetContainers({ handles }: Api.BatchGetContainersRequest): Promise<Api.BatchGetContainersResponse> {
      requireHandles(handles);
      return asking(async () => {
        const results = [...(await many(handles))].map(([handle, result]): Api.ContainerResult => {
          if (result instanceof GardenError) return { handle, result: { $case: 'failure', value: failureOf(result) } };
          return { handle, result: { $case: 'container', value: result } };
        });
        return { results };
      });
    },

    getMetrics: ({ handle }: Api.GetMetricsRequest): Promise<Api.GetMetricsResponse> =>
      asking(async () => ({ metrics: metricsTo(await park.find(handle).metrics()) }), handle),

    batchGetMetrics({ handles }: Api.BatchGetMetricsRequest): Promise<Api.BatchGetMetricsResponse> {
      requireHandles(handles);
      return asking(async () => {
        const results = [...(await garden.bulkMetrics(handles))].map(([handle, result]): Api.MetricsResult => {
          if (result instanceof GardenError) return { handle, result: { $case: 'failure', value: failureOf(result) } };
          return { handle, result: { $case: 'metrics', value: metricsTo(result) } };
        });
        return { results };
      });
    },
  };

  async function many(handles: readonly string[]): Promise<Map<string, Container | GardenError>> {
    const statuses = await garden.bulkStatus(handles);
    const one = (handle: string, status: (typeof statuses extends Map<string, infer S> ? S : never) | undefined) => {
      const container = garden.lookup(handle);
      if (status instanceof GardenError) return status;
      if (!container || !status) return new GardenError('not-found', unknownHandle(handle).message);
      return containerTo(container, status, isManaged(container));
    };
    return new Map([...statuses].map(([handle, status]) => [handle, one(handle, status)]));
  }
}

/** What can be changed of a container. */
function upkeep(park: Park) {
  return {
    getLimits: ({ handle }: Api.GetLimitsRequest): Promise<Api.GetLimitsResponse> =>
      asking(async () => ({ limits: limitsTo(await park.find(handle).limits()) }), handle),

    setLimits: ({ handle, ...change }: Api.SetLimitsRequest): Promise<Api.SetLimitsResponse> =>
      asking(async () => ({ limits: limitsTo(await park.own(handle).setLimits(changeOf(change))) }), handle),

    setGraceTime({ handle, graceTime }: Api.SetGraceTimeRequest): Promise<Api.SetGraceTimeResponse> {
      requireDuration('grace_time', graceTime);
      return asking(() => done(park.own(handle).setGraceTime(msOf(graceTime))), handle);
    },

    netIn: ({ handle, hostPort, containerPort }: Api.NetInRequest): Promise<Api.NetInResponse> =>
      asking(() => park.own(handle).netIn({ hostPort, containerPort }), handle),

    netOut({ handle, rules }: Api.NetOutRequest): Promise<Api.NetOutResponse> {
      requireEgress('rules', rules);
      return asking(() => done(park.own(handle).netOut(rulesFrom(rules))), handle);
    },

    listProperties: ({ handle }: Api.ListPropertiesRequest): Promise<Api.ListPropertiesResponse> =>
      asking(async () => ({ properties: park.find(handle).spec.properties }), handle),

    getProperty: ({ handle, name }: Api.GetPropertyRequest): Promise<Api.GetPropertyResponse> =>
      asking(async () => ({ value: park.find(handle).property(name) }), handle),

    setProperty({ handle, name, value }: Api.SetPropertyRequest): Promise<Api.SetPropertyResponse> {
      requireProperty(name, value);
      return asking(() => done(park.own(handle).setProperty(name, value)), handle);
    },

    removeProperty({ handle, name }: Api.RemovePropertyRequest): Promise<Api.RemovePropertyResponse> {
      requireProperty(name, '');
      return asking(() => done(park.own(handle).removeProperty(name)), handle);
    },
  };
}

async function shown(container: GardenContainer): Promise<Container> {
  return containerTo(container, await container.status(), isManaged(container));
}

async function done(work: Promise<void>): Promise<Record<string, never>> {
  await work;
  return {};
}

async function asking<T>(work: () => Promise<T>, handle?: string): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toRiveraError(error, handle);
  }
}

function failureOf(error: GardenError): { reason: string; message: string } {
  const seen = toRiveraError(error);
  const { reason, message } = seen instanceof RiveraError ? seen : new RiveraError('INTERNAL', error.message);
  return { reason, message };
}

function changeOf(change: Omit<Api.SetLimitsRequest, 'handle'>): Partial<GardenLimits> {
  const { memoryBytes, pids, cpuShares, diskBytes } = change;
  return {
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(pids === undefined ? {} : { pids }),
    ...(cpuShares === undefined ? {} : { cpuShares }),
    ...(diskBytes === undefined ? {} : { diskBytes }),
  };
}
