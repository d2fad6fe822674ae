import { ActualLrpServiceClient } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { type Container, ContainerState } from '@rivera/gen/rivera/rep/v1/container';
import { type GetStateResponse, RepServiceClient } from '@rivera/gen/rivera/rep/v1/rep_service';
import { dial, unary } from '@rivera/kit/grpc/dial';
import type { Identity } from '@rivera/kit/tls/identity';
import type { RiveraClient } from '@rivera/sdk/client';
import { actualLrpToProto, desiredLrpToProto, domainToProto, taskToProto } from '@rivera/server/bbs/api/to-proto';
import { isShown } from '@rivera/server/bbs/core/model';
import { readSnapshot } from '@rivera/server/bbs/journal/snapshot';
import { plainDetailCodec } from '@rivera/server/database/detail-codec';
import type { Database } from '@rivera/server/database/pool';
import { openSnapshot } from '@rivera/server/database/transaction';
import { actualItem, desiredItem, type Item, taskItem } from './records.js';

/** Records at one revision. */
export interface Sight {
  readonly revision: number;
  readonly items: Map<string, string>;
  readonly domains: ReadonlySet<string>;
}

/** What is durable, read past the server. */
export async function inDatabase(database: Database): Promise<Sight> {
  const connection = await openSnapshot(database);
  try {
    const [term] = await database.rows(connection, 'SELECT revision FROM bbs_term WHERE id = 1');
    const items: Item[] = [];
    const domains = new Set<string>();
    const onUndecodable = ({ reason }: { reason: string }) => {
      throw new Error(`a row of the database can't be read: ${reason}`);
    };
    for await (const rows of readSnapshot({ database, connection, codec: plainDetailCodec, onUndecodable })) {
      items.push(...(rows.tasks ?? []).map((row) => taskItem(taskToProto(row))));
      items.push(...(rows.desiredLrps ?? []).map((row) => desiredItem(desiredLrpToProto(row))));
      // What is kept for a cell alone is shown to nobody.
      items.push(...(rows.actualLrps ?? []).filter(isShown).map((row) => actualItem(actualLrpToProto(row))));
      for (const row of rows.domains ?? []) domains.add(domainToProto(row).domain);
    }
    return { revision: Number(term?.[0]), items: byKey(items), domains };
  } finally {
    connection.destroy();
  }
}

/** What the API lists. Only at a quiet moment is it of one revision, as each kind is listed for itself. */
export async function listed(client: RiveraClient): Promise<Omit<Sight, 'revision'>> {
  const items: Item[] = [];
  const domains = new Set<string>();
  for await (const task of client.tasks.list()) items.push(taskItem(task));
  for await (const lrp of client.desiredLrps.list()) items.push(desiredItem(lrp));
  for await (const instance of client.actualLrps.list()) items.push(actualItem(instance));
  for await (const { domain } of client.domains.list()) domains.add(domain);
  return { items: byKey(items), domains };
}

const MOST_INSTANCES = 5_000;

/** All instances as one server lists them, on one page, so at one revision. */
export async function instancesAt(
  address: string,
  identity: Identity,
): Promise<{ revision: number; items: Map<string, string> }> {
  const client = dial(ActualLrpServiceClient, address, identity, { maxMessageBytes: 64 * 1024 * 1024 });
  try {
    const request = { processGuids: [], domain: '', cellId: '', states: [], pageToken: '', pageSize: MOST_INSTANCES };
    const page = await unary(client, client.listActualLrps, { ...request, index: undefined }, { deadlineMs: 5_000 });
    if (page.nextPageToken !== '') throw new Error(`there are more than ${MOST_INSTANCES} instances`);
    return { revision: page.revision, items: byKey(page.actualLrps.map(actualItem)) };
  } finally {
    client.close();
  }
}

/** What one cell holds, asked of the cell itself. */
export interface Holdings {
  readonly cellId: string;
  readonly state: GetStateResponse;
  readonly containers: readonly Container[];
}

/** Asks every cell that the BBS holds for present; one that does not answer is left out. */
export async function heldByCells(client: RiveraClient, asServer: Identity): Promise<Holdings[]> {
  const asked: Promise<Holdings | undefined>[] = [];
  for await (const { presence, state } of client.cells.list()) {
    if (presence !== undefined && state !== CellState.MISSING) {
      asked.push(heldBy(presence.repAddress, presence.cellId, asServer).catch(() => undefined));
    }
  }
  return (await Promise.all(asked)).filter((holdings) => holdings !== undefined);
}

async function heldBy(address: string, cellId: string, identity: Identity): Promise<Holdings> {
  const rep = dial(RepServiceClient, address, identity, { expect: 'cell', expectName: cellId });
  try {
    const state = await unary(rep, rep.getState, {}, { deadlineMs: 3_000 });
    const page = await unary(rep, rep.listContainers, { pageSize: 1_000, pageToken: '' }, { deadlineMs: 3_000 });
    if (page.nextPageToken !== '') throw new Error(`cell ${cellId} holds more containers than are looked at`);
    return { cellId, state, containers: page.containers };
  } finally {
    rep.close();
  }
}

/** Containers that hold resources. */
export function living(containers: readonly Container[]): Container[] {
  return containers.filter(({ state }) => state !== ContainerState.COMPLETED);
}

function byKey(items: readonly Item[]): Map<string, string> {
  const map = new Map<string, string>();
  for (const { key, text } of items) {
    if (map.has(key)) throw new Error(`${key} is there twice`);
    map.set(key, text);
  }
  return map;
}
