import { defineMetrics, NANOSECONDS } from '@rivera/kit/metrics';

const SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;

/** What a cell measures. */
export const CELL_METRICS = defineMetrics({
  total: {
    name: 'rivera_cell_capacity_total',
    kind: 'gauge',
    help: 'What this cell has for containers, in MiB and containers.',
    labels: ['zone', 'resource'],
    aliases: capacity('CapacityTotal'),
  },
  remaining: {
    name: 'rivera_cell_capacity_remaining',
    kind: 'gauge',
    help: 'What of it is not set aside.',
    labels: ['zone', 'resource'],
    aliases: capacity('CapacityRemaining'),
  },
  usage: {
    name: 'rivera_cell_container_usage',
    kind: 'gauge',
    help: 'What containers used of it at the last look, in MiB.',
    labels: ['zone', 'resource'],
    aliases: [
      { name: 'ContainerUsageMemory', where: { resource: 'memory_mb' }, by: { zone: 'zone' } },
      { name: 'ContainerUsageDisk', where: { resource: 'disk_mb' }, by: { zone: 'zone' } },
    ],
  },
  allocated: {
    name: 'rivera_cell_capacity_allocated',
    kind: 'gauge',
    help: 'What of it is set aside.',
    labels: ['zone', 'resource'],
    aliases: [
      { name: 'CapacityAllocatedMemory', where: { resource: 'memory_mb' }, by: { zone: 'zone' } },
      { name: 'CapacityAllocatedDisk', where: { resource: 'disk_mb' }, by: { zone: 'zone' } },
    ],
  },
  containers: {
    name: 'rivera_cell_containers',
    kind: 'gauge',
    help: 'Containers, reservations included.',
    labels: ['zone', 'state'],
    aliases: [{ name: 'ContainerCount', by: { zone: 'zone' } }],
  },
  starting: {
    name: 'rivera_cell_starting_containers',
    kind: 'gauge',
    help: 'Containers that are on their way to run.',
    labels: ['zone'],
    aliases: [{ name: 'StartingContainerCount', by: { zone: 'zone' } }],
  },
  results: {
    name: 'rivera_cell_containers_completed_total',
    kind: 'counter',
    help: 'Containers that ended: by themselves (succeeded, failed) or because they were told to (stopped).',
    labels: ['outcome'],
    aliases: [{ name: 'ContainerCompletedCount' }],
  },
  gardenSeconds: {
    name: 'rivera_cell_garden_seconds',
    kind: 'histogram',
    help: 'Time that creating and destroying a container took, without waiting for its turn.',
    labels: ['work', 'outcome'],
    buckets: SECONDS,
  },
  gardenLast: {
    name: 'rivera_cell_garden_last_seconds',
    kind: 'gauge',
    help: 'Time that the latest creation and destruction took.',
    labels: ['work', 'outcome'],
    aliases: [
      { name: 'ContainerCreationDuration', where: { work: 'create', outcome: 'ok' }, scale: NANOSECONDS },
      { name: 'ContainerDestructionDuration', where: { work: 'destroy', outcome: 'ok' }, scale: NANOSECONDS },
      ...gardenDurations('GardenContainerCreation', 'create'),
      ...gardenDurations('GardenContainerDestruction', 'destroy'),
    ],
  },
  credentials: {
    name: 'rivera_cell_instance_certificates_total',
    kind: 'counter',
    help: 'Certificates that were made for containers (ok), and those that could not be (error).',
    labels: ['outcome'],
    aliases: [
      { name: 'CredCreationSucceededCount', where: { outcome: 'ok' } },
      { name: 'CredCreationFailedCount', where: { outcome: 'error' } },
    ],
  },
  credentialsLast: {
    name: 'rivera_cell_instance_certificate_last_seconds',
    kind: 'gauge',
    help: 'Time that the latest certificate of a container took.',
    aliases: [{ name: 'CredCreationSucceededDuration', scale: NANOSECONDS }],
  },
  setups: {
    name: 'rivera_cell_container_setups_total',
    kind: 'counter',
    help: 'Containers whose setup, from the making of the container on, succeeded (ok) or failed (error).',
    labels: ['outcome'],
  },
  setupLast: {
    name: 'rivera_cell_container_setup_last_seconds',
    kind: 'gauge',
    help: 'Time that the latest setup took, the making of the container included.',
    labels: ['outcome'],
    aliases: [
      { name: 'ContainerSetupSucceededDuration', where: { outcome: 'ok' }, scale: NANOSECONDS },
      { name: 'ContainerSetupFailedDuration', where: { outcome: 'error' }, scale: NANOSECONDS },
    ],
  },
  exitedOnTimeout: {
    name: 'rivera_cell_processes_killed_total',
    kind: 'counter',
    help: 'Processes that outlived the time for a graceful end and were killed.',
    aliases: [{ name: 'ContainerExitedOnTimeoutCount' }],
  },
  livenessFailures: {
    name: 'rivera_cell_liveness_failures_total',
    kind: 'counter',
    help: 'Containers that ended because a check of this kind (tcp, http, monitor) found them unhealthy.',
    labels: ['kind'],
    aliases: [
      { name: 'TCPLivenessChecksFailedCount', where: { kind: 'tcp' } },
      { name: 'HTTPLivenessChecksFailedCount', where: { kind: 'http' } },
    ],
  },
  connected: {
    name: 'rivera_cell_connected',
    kind: 'gauge',
    help: '1 while the stream stands: session (with the BBS), bids (with the auctioneer).',
    labels: ['stream'],
  },
  broken: {
    name: 'rivera_cell_runtime_broken',
    kind: 'gauge',
    help: '1 while the check of the runtime fails, and this cell refuses work.',
    aliases: [{ name: 'GardenHealthCheckFailed' }, { name: 'CellUnhealthy' }],
  },
  failedChecks: {
    name: 'rivera_cell_runtime_checks_failed_total',
    kind: 'counter',
    help: 'Checks of the runtime that failed.',
  },
  evacuating: { name: 'rivera_cell_evacuating', kind: 'gauge', help: '1 while this cell takes no new work.' },
  logLines: { name: 'rivera_cell_log_lines_total', kind: 'counter', help: 'Log lines of containers that were kept.' },
  logDrops: {
    name: 'rivera_cell_log_lines_dropped_total',
    kind: 'counter',
    help: 'Log lines that were dropped: over the rate of their container (rate), or too many for a reader (reader).',
    labels: ['reason'],
  },
  logExcesses: {
    name: 'rivera_cell_log_rate_exceeded_total',
    kind: 'counter',
    help: 'Times that a container exceeded its rate and was muted for a second.',
    aliases: [{ name: 'AppInstanceExceededLogRateLimitCount' }],
  },
});

/** The reference has one name per outcome. */
function gardenDurations(prefix: string, work: string) {
  return [
    { name: `${prefix}SucceededDuration`, where: { work, outcome: 'ok' }, scale: NANOSECONDS },
    { name: `${prefix}FailedDuration`, where: { work, outcome: 'error' }, scale: NANOSECONDS },
  ];
}

/** The reference has one name per resource. */
function capacity(prefix: string) {
  return [
    { name: `${prefix}Memory`, where: { resource: 'memory_mb' }, by: { zone: 'zone' } },
    { name: `${prefix}Disk`, where: { resource: 'disk_mb' }, by: { zone: 'zone' } },
    { name: `${prefix}Containers`, where: { resource: 'containers' }, by: { zone: 'zone' } },
  ];
}
