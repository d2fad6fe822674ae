import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type {
  GetActualLrpRequest,
  GetActualLrpResponse,
  ListActualLrpsRequest,
  ListActualLrpsResponse,
  MoveActualLrpRequest,
  MoveActualLrpResponse,
  RetireActualLrpRequest,
  RetireActualLrpResponse,
} from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { RiveraError } from '@rivera/kit/errors';
import { retireActualLrp } from '../core/actual-lrp.js';
import { type ActualLrpRow, isShown } from '../core/model.js';
import { dueKey, type Slot, type State } from '../core/state.js';
import { moveActualLrp } from '../core/succession.js';
import type { CurrentTerm } from '../term.js';
import { decodePageToken, pageSize, takePage } from './paging.js';
import { actualLrpToProto } from './to-proto.js';
import { requireText } from './validate/requests.js';
import { weightOfActualLrp } from './weight.js';

const PAGE = { defaultSize: 1_000, maxSize: 5_000 };
const MAX_PROCESS_GUIDS = 1_000;

/** Handlers of rivera.bbs.v1.ActualLrpService. */
export function actualLrpService(term: CurrentTerm) {
  return {
    async listActualLrps(request: ListActualLrpsRequest): Promise<ListActualLrpsResponse> {
      if (request.processGuids.length > MAX_PROCESS_GUIDS) {
        throw invalid('process_guids', `must have at most ${MAX_PROCESS_GUIDS} entries`);
      }
      const size = pageSize(request.pageSize, PAGE);
      const after = position(request.pageToken);
      const { result, revision } = await term().engine.read((state) =>
        takePage(matching(state, request, after), { size, keyOf: positionOf, weigh: weightOfActualLrp }),
      );
      return { actualLrps: result.page.map(actualLrpToProto), nextPageToken: result.nextPageToken, revision };
    },

    async getActualLrp({ processGuid, index }: GetActualLrpRequest): Promise<GetActualLrpResponse> {
      requireText('process_guid', processGuid);
      const { result: actualLrps } = await term().engine.read((state) =>
        rowsOf(state.slot(processGuid, index)).map((row) => ({
          ...actualLrpToProto(row),
          nextPlacementAt: nextPlacementAt(state, row),
        })),
      );
      if (actualLrps.length === 0) throw notFound(processGuid, index);
      return { actualLrps };
    },

    async retireActualLrp({
      processGuid,
      index,
      instanceGuid,
    }: RetireActualLrpRequest): Promise<RetireActualLrpResponse> {
      requireText('process_guid', processGuid);
      if (index < 0) throw invalid('index', 'must be at least 0');
      await term().engine.execute((draft) => {
        const slot = draft.state.slot(processGuid, index);
        const row =
          instanceGuid === '' ? slot.ordinary : rowsOf(slot).find((each) => each.instanceGuid === instanceGuid);
        if (row === undefined) throw notFound(processGuid, index);
        retireActualLrp(draft, row, 'retired by a client');
      });
      return {};
    },

    async moveActualLrp({ processGuid, index, instanceGuid }: MoveActualLrpRequest): Promise<MoveActualLrpResponse> {
      requireText('process_guid', processGuid);
      requireText('instance_guid', instanceGuid);
      if (index < 0) throw invalid('index', 'must be at least 0');
      await term().engine.execute((draft) => {
        const row = rowsOf(draft.state.slot(processGuid, index)).find((each) => each.instanceGuid === instanceGuid);
        if (row === undefined) throw notFound(processGuid, index);
        moveActualLrp(draft, row);
      });
      return {};
    },
  };
}

interface Position {
  readonly processGuid: string;
  readonly index: number;
  readonly generation: string;
}

/** Keys of pages: process guid, index, generation. */
function positionOf(row: ActualLrpRow): string {
  return JSON.stringify([row.processGuid, row.index, row.generation]);
}

function position(pageToken: string): Position | undefined {
  const key = decodePageToken(pageToken);
  if (key === '') return undefined;
  const parsed = parseJson(key);
  const [processGuid, index, generation] = Array.isArray(parsed) ? parsed : [];
  if (typeof processGuid !== 'string' || typeof index !== 'number' || typeof generation !== 'string') {
    throw invalid('page_token', 'was not made by this service');
  }
  return { processGuid, index, generation };
}

/** A token of another list is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function* matching(state: State, request: ListActualLrpsRequest, after: Position | undefined): Generator<ActualLrpRow> {
  const states = new Set(request.states);
  for (const processGuid of processGuids(state, request, after)) {
    for (const [index, slot] of state.slotsOf(processGuid)) {
      if (request.index !== undefined && index !== request.index) continue;
      for (const row of rowsOf(slot)) {
        if (after !== undefined && !isBehind(row, after)) continue;
        if (request.domain !== '' && row.domain !== request.domain) continue;
        if (request.cellId !== '' && row.cellId !== request.cellId) continue;
        if (states.size > 0 && !states.has(row.state)) continue;
        yield row;
      }
    }
  }
}

/** The process a page ended in may have more slots, so it is visited again. */
function* processGuids(state: State, request: ListActualLrpsRequest, after: Position | undefined): Generator<string> {
  const from = after?.processGuid ?? '';
  const wanted = new Set(request.processGuids);
  if (wanted.size > 0) {
    yield* [...wanted].sort().filter((guid) => guid >= from);
    return;
  }
  if (from !== '') yield from;
  yield* state.slotOrder.after(from);
}

function isBehind(row: ActualLrpRow, after: Position): boolean {
  if (row.processGuid !== after.processGuid) return row.processGuid > after.processGuid;
  if (row.index !== after.index) return row.index > after.index;
  return row.generation > after.generation;
}

/** An instance that waits is looked at again when it is due, and then offered. */
function nextPlacementAt(state: State, row: ActualLrpRow): Date | undefined {
  if (row.state !== ActualLrpState.UNCLAIMED) return undefined;
  const atMs = state.due.at(dueKey.actualLrp(row.processGuid, row.index, row.generation));
  return atMs === undefined ? undefined : new Date(atMs);
}

/** The records of a slot that people are shown. */
function rowsOf(slot: Slot): ActualLrpRow[] {
  if (slot.others.length === 0) return slot.ordinary === undefined ? [] : [slot.ordinary];
  const others = slot.others.filter(isShown).sort((a, b) => (a.generation < b.generation ? -1 : 1));
  return slot.ordinary === undefined ? others : [slot.ordinary, ...others];
}

function notFound(processGuid: string, index: number): RiveraError {
  return new RiveraError('ACTUAL_LRP_NOT_FOUND', `there is no instance ${processGuid}/${index}`, {
    resource: { type: 'actual_lrp', name: `${processGuid}/${index}` },
  });
}

function invalid(field: string, description: string): RiveraError {
  return new RiveraError('INVALID_REQUEST', `${field} ${description}`, { violations: [{ field, description }] });
}
