import {
  type Counter,
  defineMetrics,
  type Histogram,
  LATENCY_SECONDS,
  type MetricsRegistry,
} from '@rivera/kit/metrics';
import { RecentMaxima } from '@rivera/kit/metrics/recent-maxima';
import { Database, type DatabaseOptions } from '../database/pool.js';

/** Of the connections to the database: `state` for everything, `leases` for what decides who leads. */
export const DATABASE_METRICS = defineMetrics({
  statements: {
    name: 'rivera_database_statements_total',
    kind: 'counter',
    help: 'Statements that have ended.',
    labels: ['pool', 'outcome'],
    aliases: [
      { name: 'DBQueriesTotal' },
      { name: 'DBQueriesSucceeded', where: { outcome: 'ok' } },
      { name: 'DBQueriesFailed', where: { outcome: 'error' } },
    ],
  },
  seconds: {
    name: 'rivera_database_statement_seconds',
    kind: 'histogram',
    help: 'Time that a statement took, once it had a connection.',
    labels: ['pool'],
    buckets: LATENCY_SECONDS,
  },
  slowest: {
    name: 'rivera_database_statement_max_seconds',
    kind: 'gauge',
    help: 'The slowest statement of the last one to two minutes.',
    labels: ['pool'],
    aliases: [{ name: 'DBQueryDurationMax', scale: 1e9, combine: 'max' }],
  },
  inFlight: {
    name: 'rivera_database_statements_in_flight',
    kind: 'gauge',
    help: 'Statements that the database has not answered yet.',
    labels: ['pool'],
    aliases: [{ name: 'DBQueriesInFlight' }],
  },
});

/** Counts and times the statements of several sets of connections. */
export class DatabaseMetrics {
  private readonly statements: Counter<typeof DATABASE_METRICS.statements>;
  private readonly seconds: Histogram<typeof DATABASE_METRICS.seconds>;
  private readonly slowest = new RecentMaxima();
  private readonly open = new Map<string, number>();

  constructor(registry: MetricsRegistry) {
    this.statements = registry.counter(DATABASE_METRICS.statements);
    this.seconds = registry.histogram(DATABASE_METRICS.seconds);
    const slowest = registry.gauge(DATABASE_METRICS.slowest);
    const inFlight = registry.gauge(DATABASE_METRICS.inFlight);
    registry.onCollect(() => {
      slowest.replace(this.slowest.entries().map(([pool, ms]) => [ms / 1000, { pool }] as const));
      inFlight.replace([...this.open].map(([pool, count]) => [count, { pool }] as const));
    });
  }

  async measured<T>(pool: string, statement: Promise<T>): Promise<T> {
    const startedAtMs = performance.now();
    this.open.set(pool, (this.open.get(pool) ?? 0) + 1);
    let outcome = 'error';
    try {
      const result = await statement;
      outcome = 'ok';
      return result;
    } finally {
      const ms = performance.now() - startedAtMs;
      this.open.set(pool, (this.open.get(pool) ?? 1) - 1);
      this.statements.add(1, { pool, outcome });
      this.seconds.observe(ms / 1000, { pool });
      this.slowest.note(pool, ms);
    }
  }
}

/** A database whose statements are measured. */
export class MeasuredDatabase extends Database {
  constructor(
    options: DatabaseOptions,
    private readonly measure: { readonly metrics: DatabaseMetrics; readonly pool: string },
  ) {
    super(options);
  }

  override run<T>(...[connection, sql, values]: Parameters<Database['run']>): Promise<T> {
    return this.measure.metrics.measured(this.measure.pool, super.run<T>(connection, sql, values));
  }

  override rows(...[connection, sql, values]: Parameters<Database['rows']>): Promise<unknown[][]> {
    return this.measure.metrics.measured(this.measure.pool, super.rows(connection, sql, values));
  }
}
