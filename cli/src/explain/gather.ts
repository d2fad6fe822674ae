import { type ActualLrp, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { Cell } from '@rivera/gen/rivera/bbs/v1/cell';
import type { RiveraClient } from '@rivera/sdk/client';
import { isAnswer } from '../describe.js';
import type { Slots } from '../recipe/quantities.js';
import type { LrpFacts, TaskFacts } from './facts.js';

/** Calls for single instances and cells, at most: as many instances as a story has room for, and some to choose from. */
const MOST_ASKED = 30;

interface Asking {
  readonly client: RiveraClient;
  readonly signal: AbortSignal;
}

/** What there is to know of an LRP; undefined when it is neither desired nor there. */
export async function gatherLrp(asking: Asking, { processGuid, index }: Slots): Promise<LrpFacts | undefined> {
  const { client, signal } = asking;
  const desired = await ifThere(client.desiredLrps.get(processGuid, undefined, { signal }));
  const listed: ActualLrp[] = [];
  const filter = { processGuids: [processGuid], ...(index === undefined ? {} : { index }) };
  for await (const lrp of client.actualLrps.list(filter, { signal })) listed.push(lrp);
  const isWanted = desired !== undefined && (index === undefined || index < desired.instances);
  if (listed.length === 0 && !isWanted) return undefined;
  const instances = await withNextPlacements(asking, listed);
  const cells = await cellsOf(asking, instances);
  const isSuperfluous = instances.some(({ key }) => (key?.index ?? 0) >= (desired?.instances ?? 0));
  const domain = desired?.domain ?? instances[0]?.key?.domain ?? '';
  const domainIsFresh = isSuperfluous ? await isFresh(asking, domain) : undefined;
  return { name: processGuid, index, desired, instances, cells, domainIsFresh };
}

/** What there is to know of a Task; undefined when there is none. */
export async function gatherTask({ client, signal }: Asking, taskGuid: string): Promise<TaskFacts | undefined> {
  const task = await ifThere(client.tasks.get(taskGuid, { signal }));
  if (task === undefined) return undefined;
  const cell = task.cellId === '' ? undefined : await ifThere(client.cells.get(task.cellId, { signal }));
  return { task, cell };
}

/** Only who asks for one instance is told when it is offered again. */
async function withNextPlacements({ client, signal }: Asking, listed: readonly ActualLrp[]): Promise<ActualLrp[]> {
  let asked = 0;
  const instances: ActualLrp[] = [];
  for (const lrp of listed) {
    if (lrp.state !== ActualLrpState.UNCLAIMED || asked++ >= MOST_ASKED) {
      instances.push(lrp);
      continue;
    }
    const { processGuid = '', index = 0 } = lrp.key ?? {};
    const records = (await ifThere(client.actualLrps.get(processGuid, index, { signal }))) ?? [];
    instances.push(records.find((record) => record.presence === lrp.presence) ?? lrp);
  }
  return instances;
}

/** Of many cells a listing costs less than asking for each. */
async function cellsOf({ client, signal }: Asking, instances: readonly ActualLrp[]): Promise<Map<string, Cell>> {
  const cells = new Map<string, Cell>();
  const ids = new Set(instances.map(({ cellId }) => cellId).filter((cellId) => cellId !== ''));
  if (ids.size > MOST_ASKED) {
    for await (const cell of client.cells.list({}, { signal })) {
      const cellId = cell.presence?.cellId ?? '';
      if (ids.has(cellId)) cells.set(cellId, cell);
    }
    return cells;
  }
  for (const cellId of ids) {
    const cell = await ifThere(client.cells.get(cellId, { signal }));
    if (cell !== undefined) cells.set(cellId, cell);
  }
  return cells;
}

async function isFresh({ client, signal }: Asking, domain: string): Promise<boolean> {
  for await (const fresh of client.domains.list({}, { signal })) if (fresh.domain === domain) return true;
  return false;
}

async function ifThere<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isAnswer(error) && error.codeName === 'NOT_FOUND') return undefined;
    throw error;
  }
}
