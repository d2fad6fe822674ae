import { status } from '@grpc/grpc-js';
import type { CallObserver, ObservedCall } from '../grpc/observer.js';
import type { Counter, Gauge, Histogram, MetricsRegistry } from '../metrics.js';
import { RecentMaxima } from './recent-maxima.js';
import { defineMetrics, LATENCY_SECONDS, NANOSECONDS } from './spec.js';

const LOCKET = { service: 'rivera.locket.v1.LocketService' };

/** Of a gRPC port. */
export const GRPC_METRICS = defineMetrics({
  calls: {
    name: 'rivera_grpc_calls_total',
    kind: 'counter',
    help: 'Calls that have ended, by the status they ended with; refused ones included.',
    labels: ['service', 'method', 'code'],
    aliases: [
      { name: 'RequestCount' },
      { name: 'RequestsSucceeded', where: { ...LOCKET, code: 'OK' }, by: { request_type: 'method' } },
      { name: 'RequestsFailed', where: LOCKET, not: { code: 'OK' }, by: { request_type: 'method' } },
    ],
  },
  latency: {
    name: 'rivera_grpc_latency_seconds',
    kind: 'histogram',
    help: 'Time from the arrival of a unary call to its status.',
    labels: ['service', 'method'],
    buckets: LATENCY_SECONDS,
  },
  slowest: {
    name: 'rivera_grpc_latency_max_seconds',
    kind: 'gauge',
    help: 'The slowest unary call of the last one to two minutes.',
    labels: ['service', 'method'],
    aliases: [
      { name: 'RequestLatency', scale: NANOSECONDS, combine: 'max' },
      { name: 'RequestLatencyMax', where: LOCKET, by: { request_type: 'method' }, scale: NANOSECONDS, combine: 'max' },
    ],
  },
  inFlight: {
    name: 'rivera_grpc_calls_in_flight',
    kind: 'gauge',
    help: 'Calls that are open now; streams are counted from their first to their last message.',
    labels: ['service', 'method'],
    aliases: [{ name: 'RequestsInFlight', where: LOCKET, by: { request_type: 'method' } }],
  },
});

interface Method {
  readonly service: string;
  readonly method: string;
}

/** Counts and times what a `GrpcHost` serves. */
export class GrpcMetrics implements CallObserver {
  readonly #calls: Counter<typeof GRPC_METRICS.calls>;
  readonly #latency: Histogram<typeof GRPC_METRICS.latency>;
  readonly #inFlight: Gauge<typeof GRPC_METRICS.inFlight>;
  readonly #open = new Map<string, number>();
  readonly #slowest: RecentMaxima;

  constructor(registry: MetricsRegistry, monotonicMs?: () => number) {
    this.#slowest = new RecentMaxima(monotonicMs);
    this.#calls = registry.counter(GRPC_METRICS.calls);
    this.#latency = registry.histogram(GRPC_METRICS.latency);
    const slowest = registry.gauge(GRPC_METRICS.slowest);
    this.#inFlight = registry.gauge(GRPC_METRICS.inFlight);
    registry.onCollect(() => {
      slowest.replace(this.#slowest.entries().map(([path, ms]) => [ms / 1000, methodOf(path)] as const));
      this.#inFlight.replace([...this.#open].map(([path, count]) => [count, methodOf(path)] as const));
    });
  }

  /** Calls of a method that are open now. */
  open(path: string): number {
    return this.#open.get(path) ?? 0;
  }

  began({ method }: ObservedCall): void {
    this.#open.set(method, this.open(method) + 1);
  }

  ended({ method, streaming, admitted }: ObservedCall, outcome: { code: number; ms: number }): void {
    const name = methodOf(method);
    this.#calls.add(1, { ...name, code: status[outcome.code] ?? String(outcome.code) });
    if (!admitted) return;
    this.#open.set(method, this.open(method) - 1);
    if (streaming) return;
    this.#latency.observe(outcome.ms / 1000, name);
    this.#slowest.note(method, outcome.ms);
  }
}

/** "/package.Service/Method" taken apart. */
function methodOf(path: string): Method {
  const [, service = '', method = ''] = path.split('/');
  return { service, method };
}
