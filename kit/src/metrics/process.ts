import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { MetricsRegistry } from '../metrics.js';
import { defineMetrics } from './spec.js';

/** Of the process itself; the names are the ones that dashboards for Node and Prometheus know. */
export const PROCESS_METRICS = defineMetrics({
  cpu: {
    name: 'process_cpu_seconds_total',
    kind: 'counter',
    help: 'CPU time used, user and system, in seconds.',
  },
  start: { name: 'process_start_time_seconds', kind: 'gauge', help: 'When the process began, in seconds since 1970.' },
  resident: { name: 'process_resident_memory_bytes', kind: 'gauge', help: 'Memory that the process has in RAM.' },
  fds: {
    name: 'process_open_fds',
    kind: 'gauge',
    help: 'Open file descriptors; absent where the system does not tell.',
    aliases: [{ name: 'OpenFileDescriptors' }],
  },
  heapUsed: { name: 'nodejs_heap_size_used_bytes', kind: 'gauge', help: 'JavaScript heap in use.' },
  heapTotal: { name: 'nodejs_heap_size_total_bytes', kind: 'gauge', help: 'JavaScript heap that was set aside.' },
  external: {
    name: 'nodejs_external_memory_bytes',
    kind: 'gauge',
    help: 'Memory outside the JavaScript heap that objects hold, buffers included.',
  },
  lag: {
    name: 'nodejs_eventloop_lag_seconds',
    kind: 'gauge',
    help: 'How late timers were since the last time somebody asked.',
    labels: ['quantile'],
  },
  utilization: {
    name: 'nodejs_eventloop_utilization_ratio',
    kind: 'gauge',
    help: 'Part of the time since the last time somebody asked in which the event loop was busy.',
  },
});

const LAG_RESOLUTION_MS = 20;

/** Measures this process until the returned function is called. */
export function measureProcess(registry: MetricsRegistry): () => void {
  const cpu = registry.counter(PROCESS_METRICS.cpu);
  const start = registry.gauge(PROCESS_METRICS.start);
  const resident = registry.gauge(PROCESS_METRICS.resident);
  const fds = registry.gauge(PROCESS_METRICS.fds);
  const heapUsed = registry.gauge(PROCESS_METRICS.heapUsed);
  const heapTotal = registry.gauge(PROCESS_METRICS.heapTotal);
  const external = registry.gauge(PROCESS_METRICS.external);
  const lag = registry.gauge(PROCESS_METRICS.lag);
  const utilization = registry.gauge(PROCESS_METRICS.utilization);
  const delay = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  delay.enable();
  start.set(Math.round(Date.now() - process.uptime() * 1000) / 1000);
  let cpuTold = 0;
  let busy = performance.eventLoopUtilization();
  registry.onCollect(() => {
    const { user, system } = process.cpuUsage();
    const seconds = (user + system) / 1e6;
    cpu.add(seconds - cpuTold);
    cpuTold = seconds;
    const memory = process.memoryUsage();
    resident.set(memory.rss);
    heapUsed.set(memory.heapUsed);
    heapTotal.set(memory.heapTotal);
    external.set(memory.external);
    fds.replace(openFiles());
    for (const [quantile, ns] of [
      ['0.5', delay.percentile(50)],
      ['0.99', delay.percentile(99)],
      ['1', delay.max],
    ] as const) {
      // The histogram holds whole intervals, of which the resolution is what was asked for. An empty one says nothing.
      lag.set(Math.max(0, ns / 1e9 - LAG_RESOLUTION_MS / 1000), { quantile });
    }
    delay.reset();
    const now = performance.eventLoopUtilization();
    utilization.set(performance.eventLoopUtilization(now, busy).utilization);
    busy = now;
  });
  return () => delay.disable();
}

function openFiles(): [number][] {
  try {
    return [[readdirSync('/proc/self/fd').length]];
  } catch {
    return [];
  }
}
