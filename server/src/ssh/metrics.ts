import { type Counter, defineMetrics, type Gauge, type MetricsRegistry } from '@rivera/kit/metrics';

/** Of the SSH proxy. */
export const SSH_METRICS = defineMetrics({
  connections: {
    name: 'rivera_ssh_connections',
    kind: 'gauge',
    help: 'Connections that are logged in.',
    aliases: [{ name: 'ssh-connections' }],
  },
  unauthenticated: {
    name: 'rivera_ssh_unauthenticated_connections',
    kind: 'gauge',
    help: 'Connections that are not logged in.',
  },
  logins: {
    name: 'rivera_ssh_logins_total',
    kind: 'counter',
    help: 'Attempts to log in, by outcome (in, refused).',
    labels: ['outcome'],
  },
  dropped: {
    name: 'rivera_ssh_dropped_connections_total',
    kind: 'counter',
    help: 'Connections that were dropped before they had logged in, because there were too many or it took too long.',
  },
  bytes: {
    name: 'rivera_ssh_bytes_total',
    kind: 'counter',
    help: 'Bytes of all channels, by direction as people see it (up, down).',
    labels: ['direction'],
  },
});

/** Counts what the proxy does. */
export interface SshMetrics {
  readonly connections: Gauge<typeof SSH_METRICS.connections>;
  readonly unauthenticated: Gauge<typeof SSH_METRICS.unauthenticated>;
  readonly logins: Counter<typeof SSH_METRICS.logins>;
  readonly dropped: Counter<typeof SSH_METRICS.dropped>;
  readonly bytes: Counter<typeof SSH_METRICS.bytes>;
}

export function sshMetrics(registry: MetricsRegistry): SshMetrics {
  return {
    connections: registry.gauge(SSH_METRICS.connections),
    unauthenticated: registry.gauge(SSH_METRICS.unauthenticated),
    logins: registry.counter(SSH_METRICS.logins),
    dropped: registry.counter(SSH_METRICS.dropped),
    bytes: registry.counter(SSH_METRICS.bytes),
  };
}
