import { type Container, ContainerState } from '@rivera/gen/rivera/rep/v1/container';
import { renderTable } from '../terminal/table.js';
import { ageOf } from '../terminal/time.js';

const MIB = 1024 * 1024;

const STATES: Partial<Record<ContainerState, string>> = {
  [ContainerState.RESERVED]: 'reserved',
  [ContainerState.INITIALIZING]: 'initializing',
  [ContainerState.CREATED]: 'created',
  [ContainerState.RUNNING]: 'running',
  [ContainerState.COMPLETED]: 'completed',
};

/** Containers as their cell knows them: whose they are, how they are, and what they use of what they may. */
export function containerTable(containers: readonly Container[], nowMs: number): string {
  if (containers.length === 0) return 'No containers.\n';
  const right = (title: string) => ({ title, align: 'right' as const });
  const columns = ['container', 'work', 'state', right('cpu'), right('memory'), right('disk'), right('age'), 'address'];
  return renderTable(
    columns,
    containers.map((container) => row(container, nowMs)),
  );
}

function row(container: Container, nowMs: number): string[] {
  const { containerGuid, state, routable, metrics, memoryMb, diskMb, allocatedAt, address } = container;
  const shown = STATES[state] ?? 'unknown';
  // Without a look of the cell, only what was set aside is known.
  const of = (bytes: number | undefined, mb: number) =>
    `${bytes === undefined ? '-' : Math.round(bytes / MIB)}/${mb} MiB`;
  return [
    containerGuid,
    workOf(container),
    state === ContainerState.RUNNING && !routable ? `${shown}, not ready` : shown,
    metrics === undefined ? '-' : `${Math.round(metrics.cpuUsageFraction * 100)} %`,
    of(metrics?.memoryUsageBytes, memoryMb),
    of(metrics?.diskUsageBytes, diskMb),
    ageOf(allocatedAt, nowMs),
    address,
  ];
}

function workOf({ target }: Container): string {
  const of = target?.target;
  if (of?.$case === 'instance') return `${of.value.processGuid}/${of.value.index}`;
  return of?.$case === 'taskGuid' ? `task ${of.value}` : '';
}
