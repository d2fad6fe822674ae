import { AdminServer } from '@rivera/kit/admin';
import { openAudit } from '@rivera/kit/admin/audit';
import type { CallObserver } from '@rivera/kit/grpc/host';
import type { Logger } from '@rivera/kit/log';
import { MetricsRegistry } from '@rivera/kit/metrics';
import { GrpcMetrics } from '@rivera/kit/metrics/grpc';
import { measureProcess } from '@rivera/kit/metrics/process';
import type { AuctionRole } from '../auction/auction-role.js';
import type { BbsRole } from '../bbs/bbs-role.js';
import type { ServerConfig } from '../config.js';
import type { Database, DatabaseOptions } from '../database/pool.js';
import type { Candidate } from '../locket/election.js';
import { type SshMetrics, sshMetrics } from '../ssh/metrics.js';
import { AuctionMetrics } from './auction-metrics.js';
import { BbsMetrics } from './bbs-metrics.js';
import { measureLeases } from './catalogue.js';
import { DatabaseMetrics, MeasuredDatabase } from './database-metrics.js';
import { Readiness } from './readiness.js';
import { serverState } from './state-dump.js';

/** What of a server is looked at, as soon as it is there. */
export interface ServerParts {
  readonly address: string;
  readonly database: Database;
  readonly bbs: BbsRole | undefined;
  readonly auction: AuctionRole | undefined;
  readonly leases: readonly { readonly lease: string; readonly candidate: Candidate }[];
}

const WATCH = '/rivera.bbs.v1.EventService/Watch';

/** Everything that lets people see into a server: metrics, audit, and the admin port, which is open from before the start to after the end. */
export class ServerAdmin {
  readonly registry: MetricsRegistry;
  /** For the gRPC port. */
  readonly observers: readonly CallObserver[];
  /** The record of who did what, for what is no call; undefined when there is none. */
  readonly auditLog: Logger | undefined;
  readonly bbs: BbsMetrics;
  readonly auction: AuctionMetrics;
  readonly ssh: SshMetrics;
  private readonly databases: DatabaseMetrics;
  private readonly closers: (() => Promise<void> | void)[] = [];
  private readonly startedAt = new Date().toISOString();
  private parts: ServerParts | undefined;
  private readiness: Readiness | undefined;
  private closing = false;
  private listener: AdminServer | undefined;

  /** @throws Error of Node when the audit file can't be opened */
  constructor(
    private readonly config: Pick<ServerConfig, 'name' | 'roles' | 'admin' | 'audit' | 'bbs'>,
    private readonly log: Logger,
  ) {
    this.registry = new MetricsRegistry({
      onError: (error) => log.error({ err: error }, 'a metric could not be told'),
    });
    const grpc = new GrpcMetrics(this.registry);
    const audit = openAudit(config.audit, log);
    this.closers.push(() => audit.close());
    this.observers = [grpc, ...audit.observers];
    this.auditLog = audit.log;
    this.databases = new DatabaseMetrics(this.registry);
    this.bbs = new BbsMetrics({
      registry: this.registry,
      log,
      slowCommitMs: config.bbs.slowCommit,
      watchers: () => grpc.open(WATCH),
    });
    this.ssh = sshMetrics(this.registry);
    this.auction = new AuctionMetrics(this.registry, () => this.parts?.auction?.auctioneer);
    this.closers.push(measureProcess(this.registry));
  }

  /** Connections whose statements are measured under a name. */
  openDatabase(pool: string, options: DatabaseOptions): Database {
    return new MeasuredDatabase(options, { metrics: this.databases, pool });
  }

  /** Opens the port, if one is configured. @throws Error of Node, such as EADDRINUSE */
  async listen(): Promise<void> {
    const { host, port, remoteState } = this.config.admin;
    if (port === undefined || port === null) return;
    this.listener = await AdminServer.listen({
      host,
      port,
      remoteState,
      metrics: this.registry,
      ready: async () => (this.closing ? ['this server is closing'] : await this.reasons()),
      state: () => this.state(),
      logger: this.log,
    });
    const listener = this.listener;
    this.closers.push(() => listener.close());
    this.log.info({ address: listener.address }, 'admin port listens');
  }

  /** host:port of the admin port; undefined when there is none. */
  get address(): string | undefined {
    return this.listener?.address;
  }

  /** The server is complete, and ready as soon as it can serve or stand by. */
  show(parts: ServerParts): void {
    this.parts = parts;
    this.readiness = new Readiness({
      database: parts.database,
      ...(parts.bbs && { bbs: () => (parts.bbs as BbsRole).standing }),
    });
    measureLeases(
      this.registry,
      parts.leases.map(({ lease, candidate }) => ({ lease, held: () => candidate.epoch !== undefined })),
    );
  }

  /** From now on it is not ready, though it still answers. */
  closes(): void {
    this.closing = true;
  }

  async close(): Promise<void> {
    for (let step = this.closers.pop(); step !== undefined; step = this.closers.pop()) await step();
  }

  private reasons(): Promise<readonly string[]> | readonly string[] {
    return this.readiness?.reasons() ?? ['this server is starting'];
  }

  private state(): AsyncIterable<object> {
    const { name, roles } = this.config;
    const { parts } = this;
    return serverState({
      server: {
        name,
        roles,
        address: parts?.address,
        pid: process.pid,
        node: process.version,
        startedAt: this.startedAt,
        standing: parts?.bbs?.standing,
        leases: parts?.leases.map(({ lease, candidate }) => ({
          lease,
          epoch: candidate.epoch,
          lastSeenHolder: candidate.holderAddress(),
        })),
        memory: process.memoryUsage(),
      },
      term: parts?.bbs?.leadingTerm,
      auctioneer: parts?.auction?.auctioneer,
    });
  }
}
