import { ActualLrp, ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { Cell, CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { LogEntry, LogStream } from '@rivera/gen/rivera/rep/v1/container';
import type { TlsFiles } from '@rivera/sdk/client';
import type { FakeServer } from '@rivera/sdk/testing/fake-server';

/** The moment at which the fake installation is looked at. */
export const NOW = Date.parse('2026-05-01T12:00:00Z');

const ago = (ms: number) => new Date(NOW - ms);

/** Environment with which the commands find a server. */
export function environmentOf(server: FakeServer, { caFile, certFile, keyFile }: TlsFiles): NodeJS.ProcessEnv {
  return { RIVERA_SERVERS: server.address, RIVERA_CA: caFile, RIVERA_CERT: certFile, RIVERA_KEY: keyFile };
}

export function task(over: Partial<Task> = {}): Task {
  return Task.fromPartial({
    taskGuid: 'nightly',
    domain: 'reports',
    state: TaskState.RUNNING,
    cellId: 'cell-1',
    createdAt: ago(180_000),
    ...over,
  });
}

export function lrp(over: Partial<DesiredLrp> = {}): DesiredLrp {
  return DesiredLrp.fromPartial({
    processGuid: 'hello',
    domain: 'example',
    instances: 2,
    ports: [8080],
    createdAt: ago(7_200_000),
    container: { rootFs: 'preloaded:busybox', memoryMb: 32, diskMb: 64 },
    ...over,
  });
}

export function instance(index: number, over: Partial<ActualLrp> = {}): ActualLrp {
  return ActualLrp.fromPartial({
    key: { processGuid: 'hello', index, domain: 'example' },
    instanceGuid: `guid-${index}`,
    cellId: 'cell-1',
    state: ActualLrpState.RUNNING,
    presence: ActualLrpPresence.ORDINARY,
    netInfo: { address: '10.0.0.1', ports: [{ containerPort: 8080, hostPort: 61_001 + index }] },
    since: ago(60_000),
    ...over,
  });
}

export function unplaced(index: number): ActualLrp {
  return instance(index, {
    instanceGuid: '',
    cellId: '',
    state: ActualLrpState.UNCLAIMED,
    netInfo: undefined,
    placementError: 'insufficient resources: memory',
  });
}

export function cell(id: string, state: CellState = CellState.PRESENT): Cell {
  return Cell.fromPartial({
    presence: {
      cellId: id,
      repAddress: '10.0.0.1:1801',
      zone: 'z1',
      capacity: { memoryMb: 4096, diskMb: 10_240, containers: 250 },
      rootFsProviders: [{ name: 'preloaded', properties: ['busybox'] }],
    },
    state,
    since: ago(3_600_000),
    lastSeenAt: ago(2_000),
    lrpInstances: 3,
    tasks: 1,
  });
}

export function logLine(text: string, over: Partial<LogEntry> = {}): LogEntry {
  return LogEntry.fromPartial({
    time: ago(1_000),
    source: 'APP',
    index: 0,
    stream: LogStream.STDOUT,
    payload: Buffer.from(text),
    cellId: 'cell-1',
    containerGuid: 'guid-0',
    ...over,
  });
}
