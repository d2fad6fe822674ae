import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { ActualLrpRow } from '@rivera/server/bbs/core/model';
import { type Cluster, GIVE_UP_AT } from './cluster.js';
import { CONTAINER_MB } from './commands.js';

/** A cluster in which nothing fails any more is as desired after this, at the latest. */
const HEALED_WITHIN_MS = 200_000;
const LOOK_MS = 1_000;
const VOUCH_EVERY_MS = 15_000;

/** Lets a cluster without faults come to rest. @returns what is still not as it should be */
export async function heal(cluster: Cluster): Promise<string | undefined> {
  let wrong: string | undefined;
  for (let waitedMs = 0; waitedMs < HEALED_WITHIN_MS; waitedMs += LOOK_MS) {
    // Again and again, as clients do: one request may have been lost in what went before.
    if (waitedMs % VOUCH_EVERY_MS === 0) cluster.commands.domain(true);
    await cluster.time.advance(LOOK_MS);
    for (const cell of cluster.cells) {
      // A drained cell takes work again once its operator has started it anew.
      if (cell.agent?.evacuating) cell.killAgent(true);
      cell.start();
    }
    if (cluster.violation !== undefined) return undefined;
    wrong = notYetHealed(cluster);
    if (wrong === undefined) return undefined;
  }
  return `after ${HEALED_WITHIN_MS / 1000} s without faults: ${wrong}`;
}

function notYetHealed(cluster: Cluster): string | undefined {
  const { term, servers, cells, client, database, watcher } = cluster;
  const leaders = [...servers.values()].filter(({ bbs }) => bbs.leading);
  if (term === undefined || leaders.length !== 1) return `${leaders.length} servers lead`;
  const auctioneers = [...servers.values()].filter(({ auction }) => auction.active);
  if (auctioneers.length !== 1) return `${auctioneers.length} auctioneers are active`;
  const away = cells.find(({ connected }) => !connected);
  if (away !== undefined) return `${away.cellId} is not connected`;
  if (client.open > 0) return `${client.open} commands are open`;
  if (cluster.unfinishedTasks > 0) return `${cluster.unfinishedTasks} tasks have not ended`;
  if (database.rows.revision !== term.engine.durableRevision || term.engine.backlogRows > 0)
    return 'changes are under way';
  const behind = watcher.revision === database.rows.revision ? undefined : 'the watcher is behind';
  return slotsFault(cluster) ?? containersFault(cluster) ?? behind;
}

/** Exactly what is desired has a record, and it runs. */
function slotsFault({ database, cells }: Cluster): string | undefined {
  const { desiredLrps, actualLrps } = database.rows;
  let slots = 0;
  for (const { processGuid, instances, domain } of desiredLrps.values()) {
    for (let index = 0; index < instances; index++) {
      slots++;
      const name = `${processGuid}/${index}`;
      const row = actualLrps.get(name);
      if (row === undefined) return `${name} is desired and has no record`;
      if (row.domain !== domain) return `${name} is of domain ${row.domain}, its LRP of ${domain}`;
      const fits = cells.some(({ machine }) => machine.ledger.available.memoryMb >= CONTAINER_MB);
      if (!isSettled(row, fits)) return `${name} is ${ActualLrpState[row.state]}${row.retired ? ', to stop' : ''}`;
    }
  }
  return slots === actualLrps.size ? undefined : `${slots} slots are desired, ${actualLrps.size} records are there`;
}

/** It runs, or it has given up, or there is no room for it. */
function isSettled(row: ActualLrpRow, fits: boolean): boolean {
  if (row.retired) return false;
  if (row.state === ActualLrpState.RUNNING) return true;
  if (row.state === ActualLrpState.CRASHED) return row.crashCount >= GIVE_UP_AT;
  return row.state === ActualLrpState.UNCLAIMED && !fits && row.placementError !== '';
}

/** Cells run what the records say, each slot once, and hold nothing else. */
function containersFault({ database, cells }: Cluster): string | undefined {
  const { actualLrps, tasks } = database.rows;
  const expected = new Map<string, string>();
  for (const row of actualLrps.values()) {
    if (row.state === ActualLrpState.RUNNING) expected.set(row.instanceGuid, row.cellId);
  }
  for (const task of tasks.values())
    if (task.state === TaskState.RUNNING) expected.set(task.executionGuid, task.cellId);
  for (const { cellId, machine } of cells) {
    for (const [guid, { record, process }] of machine.containers) {
      if (expected.get(guid) !== cellId) return `${cellId} still holds ${guid}, ${record.state}`;
      if (process === undefined || process.exit !== undefined) return `${guid} on ${cellId} does not run`;
      expected.delete(guid);
    }
  }
  const [lost] = expected;
  return lost && `${lost[0]} is not on ${lost[1]}`;
}
