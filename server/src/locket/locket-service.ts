import {
  type FetchRequest,
  type FetchResponse,
  type ListResourcesRequest,
  type ListResourcesResponse,
  type LocketServiceService,
  type LockRequest,
  type LockResponse,
  type ReleaseRequest,
  type ReleaseResponse,
  Resource,
  ResourceType,
  type WatchResourcesRequest,
  WatchResourcesResponse,
} from '@rivera/gen/rivera/locket/v1/locket_service';
import type { Clock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import type { Access, CallContext, Handlers } from '@rivera/kit/grpc/host';
import { isDatabaseError } from '../database/errors.js';
import { RESERVED_LEASE_KEYS } from './keys.js';
import { type Lease, LeaseHeldError, type LeaseStore, type LeaseType } from './lease-store.js';
import { lockRequest, nameViolations, refuseViolations } from './requests.js';

/** Who may call what. */
export const LOCKET_ACCESS: Access<typeof LocketServiceService> = {
  default: ['client', 'server', 'cell', 'reader'],
  methods: { lock: ['client', 'server', 'cell'], release: ['client', 'server', 'cell'] },
};

const DEFAULT_PAGE = 500;
const MAX_PAGE = 1_000;
/** Values may be 64 KiB each, a message 4 MiB: a page or part ends when its resources reach this. */
const MAX_PART_BYTES = 1024 * 1024;
const POLL_INTERVAL_MS = 1_000;
/** Every watcher reads the table once a second. */
const MAX_WATCHERS = 100;
/** Records that one watcher is told about. */
const MAX_WATCHED = 100_000;

/** The handlers of rivera.locket.v1.LocketService. Stateless but for the number of watchers: several servers may serve one store. */
export class LocketService implements Handlers<typeof LocketServiceService> {
  private watchers = 0;

  constructor(
    private readonly store: LeaseStore,
    private readonly clock: Clock,
  ) {}

  readonly lock = async (request: LockRequest, ctx: CallContext): Promise<LockResponse> => {
    const wanted = lockRequest(request);
    assertMayTake(ctx, wanted.key, wanted.type);
    const lease = await mapped(() => this.store.acquire(wanted));
    return { resource: this.toResource(lease) };
  };

  readonly release = async (request: ReleaseRequest, ctx: CallContext): Promise<ReleaseResponse> => {
    refuseViolations([...nameViolations('key', request.key), ...nameViolations('owner', request.owner)]);
    assertMayTake(ctx, request.key, undefined);
    await mapped(() => this.store.release(request.key, request.owner));
    return {};
  };

  readonly fetch = async (request: FetchRequest): Promise<FetchResponse> => {
    refuseViolations(nameViolations('key', request.key));
    const lease = await mapped(() => this.store.fetch(request.key));
    if (lease === undefined) {
      throw new RiveraError('LOCK_NOT_FOUND', `nobody holds "${request.key}"`, {
        resource: { type: 'rivera.locket.v1.Resource', name: request.key },
      });
    }
    return { resource: this.toResource(lease) };
  };

  readonly listResources = async (request: ListResourcesRequest): Promise<ListResourcesResponse> => {
    if (request.pageSize < 0 || request.pageSize > MAX_PAGE) {
      refuseViolations([{ field: 'page_size', description: `must be 0..${MAX_PAGE}` }]);
    }
    const limit = request.pageSize === 0 ? DEFAULT_PAGE : request.pageSize;
    const afterKey =
      request.pageToken === '' ? undefined : Buffer.from(request.pageToken, 'base64url').toString('utf8');
    const leases = await mapped(() =>
      this.store.list({ ...filter(request.type), ...(afterKey === undefined ? {} : { afterKey }), limit }),
    );
    const [page = []] = parts(leases);
    const last = page.at(-1);
    const more = last !== undefined && (page.length < leases.length || leases.length === limit);
    return {
      resources: page.map((lease) => this.toResource(lease)),
      nextPageToken: more ? Buffer.from(last.key, 'utf8').toString('base64url') : '',
    };
  };

  readonly watchResources = (request: WatchResourcesRequest, ctx: CallContext) =>
    this.watch(filter(request.type), ctx.signal);

  private async *watch(types: { type?: LeaseType }, signal: AbortSignal): AsyncGenerator<WatchResourcesResponse> {
    if (this.watchers >= MAX_WATCHERS) {
      throw new RiveraError('TOO_MANY_REQUESTS', `${MAX_WATCHERS} watches are open on this server already`);
    }
    this.watchers += 1;
    try {
      yield* this.changes(types, signal);
    } finally {
      this.watchers -= 1;
    }
  }

  /** Everything, then once a second what differs from the last look. */
  private async *changes(types: { type?: LeaseType }, signal: AbortSignal): AsyncGenerator<WatchResourcesResponse> {
    let known = new Map<string, Lease>();
    for (let first = true; ; first = false) {
      const current = await this.readAll(types);
      const held = [...current.values()].filter((lease) => differs(known.get(lease.key), lease));
      const gone = [...known.keys()].filter((key) => !current.has(key));
      for (const part of parts(held)) {
        yield WatchResourcesResponse.fromPartial({ held: part.map((lease) => this.toResource(lease)) });
      }
      for (let start = 0; start < gone.length; start += MAX_PAGE) {
        yield WatchResourcesResponse.fromPartial({ gone: gone.slice(start, start + MAX_PAGE) });
      }
      if (first) yield WatchResourcesResponse.fromPartial({ initialComplete: true });
      known = current;
      await this.clock.sleep(POLL_INTERVAL_MS, signal);
    }
  }

  private async readAll(types: { type?: LeaseType }): Promise<Map<string, Lease>> {
    const all = new Map<string, Lease>();
    let afterKey: string | undefined;
    for (;;) {
      const after = afterKey === undefined ? {} : { afterKey };
      const page = await mapped(() => this.store.list({ ...types, ...after, limit: MAX_PAGE }));
      for (const lease of page) all.set(lease.key, lease);
      if (all.size > MAX_WATCHED)
        throw new RiveraError('TOO_MANY_REQUESTS', `there are more than ${MAX_WATCHED} records to watch`);
      if (page.length < MAX_PAGE) return all;
      afterKey = page.at(-1)?.key;
    }
  }

  private toResource(lease: Lease): Resource {
    return Resource.fromPartial({
      key: lease.key,
      owner: lease.owner,
      value: lease.value,
      type: lease.type === 'lock' ? ResourceType.LOCK : ResourceType.PRESENCE,
      epoch: lease.epoch,
      expiresAt: new Date(this.clock.now() + lease.remainingMs),
    });
  }
}

/** A cell says only that itself is there; Rivera's own leaders are elected among servers. */
function assertMayTake(ctx: CallContext, key: string, type: LeaseType | undefined): void {
  const { role, name } = ctx.peer;
  if (role === 'cell' && (key !== name || type === 'lock')) {
    throw new RiveraError(
      'PERMISSION_DENIED',
      `the cell "${name}" may keep its own presence "${name}" and nothing else`,
    );
  }
  if (role !== 'server' && RESERVED_LEASE_KEYS.has(key)) {
    throw new RiveraError('PERMISSION_DENIED', `"${key}" elects a leader among Rivera's servers`);
  }
}

function filter(type: ResourceType): { type?: LeaseType } {
  switch (type) {
    case ResourceType.UNSPECIFIED:
      return {};
    case ResourceType.LOCK:
      return { type: 'lock' };
    case ResourceType.PRESENCE:
      return { type: 'presence' };
    default:
      throw new RiveraError('INVALID_REQUEST', 'unknown type of resource', {
        violations: [{ field: 'type', description: 'must be a known type' }],
      });
  }
}

/** Cut so that each fits into a message; none is empty. */
function* parts(leases: readonly Lease[]): Generator<Lease[]> {
  let part: Lease[] = [];
  let bytes = 0;
  for (const lease of leases) {
    part.push(lease);
    bytes += Buffer.byteLength(lease.value) + Buffer.byteLength(lease.key) + Buffer.byteLength(lease.owner);
    if (bytes >= MAX_PART_BYTES || part.length >= MAX_PAGE) {
      yield part;
      part = [];
      bytes = 0;
    }
  }
  if (part.length > 0) yield part;
}

function differs(before: Lease | undefined, now: Lease): boolean {
  return before === undefined || before.epoch !== now.epoch || before.value !== now.value || before.type !== now.type;
}

async function mapped<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof LeaseHeldError) {
      throw new RiveraError('LOCK_HELD', error.message, {
        metadata: { owner: error.lease.owner, epoch: String(error.lease.epoch) },
        retryDelayMs: error.lease.remainingMs,
        resource: { type: 'rivera.locket.v1.Resource', name: error.lease.key },
        cause: error,
      });
    }
    // Repeating is harmless whether or not it happened.
    if (isDatabaseError(error))
      throw new RiveraError('DATABASE_UNAVAILABLE', 'the database does not answer', { cause: error });
    throw error;
  }
}
