import { defineMetrics, type MetricSpec, type MetricsRegistry, REGISTRY_METRICS } from '@rivera/kit/metrics';
import { GRPC_METRICS } from '@rivera/kit/metrics/grpc';
import { PROCESS_METRICS } from '@rivera/kit/metrics/process';
import { SSH_METRICS } from '../ssh/metrics.js';
import { AUCTION_METRICS } from './auction-metrics.js';
import { BBS_METRICS } from './bbs-catalogue.js';
import { DATABASE_METRICS } from './database-metrics.js';

/** Of the leases that decide who is active. */
export const LEASE_METRICS = defineMetrics({
  held: {
    name: 'rivera_lease_held',
    kind: 'gauge',
    help: '1 while this server holds the lease (bbs, auctioneer), 0 while another one does, or nobody.',
    labels: ['lease'],
    aliases: [{ name: 'LockHeld', by: { lease: 'lease' } }],
  },
});

/** Everything that a server measures, for the documentation. */
export const SERVER_METRICS: readonly { readonly title: string; readonly specs: readonly MetricSpec[] }[] = [
  { title: 'BBS', specs: Object.values(BBS_METRICS) },
  { title: 'Auctioneer', specs: Object.values(AUCTION_METRICS) },
  { title: 'Leases', specs: Object.values(LEASE_METRICS) },
  { title: 'SSH', specs: Object.values(SSH_METRICS) },
  { title: 'Database', specs: Object.values(DATABASE_METRICS) },
  { title: 'gRPC', specs: Object.values(GRPC_METRICS) },
  { title: 'Process', specs: Object.values(PROCESS_METRICS) },
  { title: 'Metrics', specs: Object.values(REGISTRY_METRICS) },
];

/** Shows which leases are held. */
export function measureLeases(
  registry: MetricsRegistry,
  leases: readonly { readonly lease: string; readonly held: () => boolean }[],
): void {
  const gauge = registry.gauge(LEASE_METRICS.held);
  registry.onCollect(() => gauge.replace(leases.map(({ lease, held }) => [held() ? 1 : 0, { lease }] as const)));
}
