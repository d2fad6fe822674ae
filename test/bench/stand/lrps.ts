import { setTimeout as sleep } from 'node:timers/promises';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { Action } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import type { RiveraClient } from '@rivera/sdk/client';
import type { LoadCell } from './load-cell.js';
import { type CellReport, claimed, running } from './reports.js';

/** The smallest LRP that a real client would desire. */
export function smallLrp(processGuid: string): DesiredLrp {
  return DesiredLrp.fromPartial({
    processGuid,
    domain: 'bench',
    instances: 1,
    container: ContainerSpec.fromPartial({ rootFs: 'preloaded:busybox', memoryMb: 1, diskMb: 1, logGuid: processGuid }),
    action: Action.fromPartial({
      action: { $case: 'runAction', value: { path: '/sim/run', args: [], user: 'root' } },
    } as never),
    ports: [8080],
  } as never);
}

/** Every `step`th guid of so many LRPs, made as they are asked for. */
export function* guids(lrps: number, { first = 0, step = 1 } = {}): Generator<string> {
  for (let i = first; i < lrps; i += step) yield `lrp-${i}`;
}

/** An overloaded server is given time before what it refused is sent again. */
const PAUSE_MS = 500;

/**
 * Desires so many LRPs over one stream, and again those that the server was too busy for, as every client has to.
 * @returns how many were refused
 */
export async function desireAll(client: RiveraClient, lrps: number): Promise<number> {
  let refused = 0;
  for (let left: Iterable<string> = guids(lrps); ; ) {
    const again: string[] = [];
    for await (const { processGuid, error } of client.desiredLrps.desireMany(definitions(left))) {
      if (error === undefined) continue;
      if (!error.retryable) throw error;
      again.push(processGuid);
    }
    if (again.length === 0) return refused;
    refused += again.length;
    left = again;
    await sleep(PAUSE_MS);
  }
}

function* definitions(processGuids: Iterable<string>): Generator<DesiredLrp> {
  for (const guid of processGuids) yield smallLrp(guid);
}

/** Each cell reports of its share of the LRPs, all cells at once; resolves when all is durable. */
export async function reportAll(
  cells: readonly LoadCell[],
  lrps: number,
  reportsOf: (processGuid: string) => readonly CellReport[],
): Promise<void> {
  function* share(first: number) {
    for (const guid of guids(lrps, { first, step: cells.length })) yield* reportsOf(guid);
  }
  await Promise.all(cells.map((cell, first) => cell.report(share(first))));
}

/** Claims and runs all LRPs. */
export function runAll(cells: readonly LoadCell[], lrps: number): Promise<void> {
  return reportAll(cells, lrps, (guid) => [claimed(guid), running(guid)]);
}
