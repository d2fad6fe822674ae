import { type DesiredLrp, type DesiredLrpUpdate, DesiredLrpView } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type {
  DesireLrpRequest,
  DesireLrpResponse,
  DesireLrpsRequest,
  DesireLrpsResponse,
  GetDesiredLrpRequest,
  GetDesiredLrpResponse,
  ListDesiredLrpsRequest,
  ListDesiredLrpsResponse,
  RemoveDesiredLrpRequest,
  RemoveDesiredLrpResponse,
  UpdateDesiredLrpRequest,
  UpdateDesiredLrpResponse,
} from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { RiveraError } from '@rivera/kit/errors';
import {
  type DesiredLrpChange,
  desireLrp,
  type NewDesiredLrp,
  removeDesiredLrp,
  updateDesiredLrp,
} from '../core/desired-lrp.js';
import type { DesiredLrpRow } from '../core/model.js';
import type { State } from '../core/state.js';
import type { BbsTerm, CurrentTerm } from '../term.js';
import { bulk } from './bulk.js';
import { desiredLrpFromProto, withImageCredentials } from './from-proto.js';
import { decodePageToken, encodePageToken, pageSize, takePage } from './paging.js';
import { desiredLrpRoutingToProto, desiredLrpToProto, fullDesiredLrpToProto } from './to-proto.js';
import { requireRecipeSize, requireText, validateDesiredLrp, validateUpdate } from './validate/requests.js';
import { weightOfDesiredLrp } from './weight.js';

const PAGE = { defaultSize: 500, maxSize: 1_000 };
const MAX_PROCESS_GUIDS = 1_000;
const MAX_PAGE_BYTES = 3 * 1024 * 1024;

/** Handlers of rivera.bbs.v1.DesiredLrpService. */
export function desiredLrpService(term: CurrentTerm) {
  return {
    async desireLrp({ desiredLrp }: DesireLrpRequest): Promise<DesireLrpResponse> {
      const wanted = wantedLrp(desiredLrp);
      return { desiredLrp: desiredLrpToProto(await term().engine.execute((draft) => desireLrp(draft, wanted))) };
    },

    desireLrps(requests: AsyncIterable<DesireLrpsRequest>): AsyncIterable<DesireLrpsResponse> {
      const { engine } = term();
      return bulk(requests, engine, ({ desiredLrp }) => {
        const wanted = wantedLrp(desiredLrp);
        engine.apply((draft) => desireLrp(draft, wanted));
      });
    },

    async updateDesiredLrp(request: UpdateDesiredLrpRequest): Promise<UpdateDesiredLrpResponse> {
      validateUpdate(request.processGuid, request.update);
      return { desiredLrp: desiredLrpToProto(await applyUpdate(term(), request, request.update)) };
    },

    async removeDesiredLrp({ processGuid }: RemoveDesiredLrpRequest): Promise<RemoveDesiredLrpResponse> {
      requireText('process_guid', processGuid);
      await term().engine.execute((draft) => removeDesiredLrp(draft, processGuid));
      return {};
    },

    async getDesiredLrp({ processGuid, view }: GetDesiredLrpRequest): Promise<GetDesiredLrpResponse> {
      requireText('process_guid', processGuid);
      const current = term();
      const { result: row } = await current.engine.read((state) => state.desiredLrps.get(processGuid));
      if (row === undefined) throw notFound(processGuid);
      const [desiredLrp] = await inView(current, [row], view || DesiredLrpView.FULL);
      if (desiredLrp === undefined) throw notFound(processGuid);
      return { desiredLrp };
    },

    async listDesiredLrps(request: ListDesiredLrpsRequest): Promise<ListDesiredLrpsResponse> {
      if (request.processGuids.length > MAX_PROCESS_GUIDS) {
        throw new RiveraError('INVALID_REQUEST', `process_guids has more than ${MAX_PROCESS_GUIDS} entries`, {
          violations: [{ field: 'process_guids', description: `must have at most ${MAX_PROCESS_GUIDS} entries` }],
        });
      }
      const size = pageSize(request.pageSize, PAGE);
      const after = decodePageToken(request.pageToken);
      const current = term();
      const { result, revision } = await current.engine.read((state) =>
        takePage(matching(state, request, after), { size, keyOf: (row) => row.processGuid, weigh: weightOfDesiredLrp }),
      );
      if (request.view !== DesiredLrpView.FULL) {
        const desiredLrps = await inView(current, result.page, request.view || DesiredLrpView.SCHEDULING);
        return { desiredLrps, nextPageToken: result.nextPageToken, revision };
      }
      return { ...(await fullPage(current, result.page, result.nextPageToken)), revision };
    },
  };
}

/** @throws INVALID_REQUEST */
function wantedLrp(desiredLrp: DesiredLrp | undefined): NewDesiredLrp {
  validateDesiredLrp(desiredLrp);
  const wanted = desiredLrpFromProto(desiredLrp);
  requireRecipeSize('desired_lrp', wanted.runInfo);
  return wanted;
}

/** A page of whole LRPs also ends at a number of bytes, as recipes can be large. */
async function fullPage(term: BbsTerm, rows: readonly DesiredLrpRow[], nextPageToken: string) {
  const desiredLrps: DesiredLrp[] = [];
  let bytes = 0;
  for (const row of rows) {
    const runInfo = (await term.runInfos.get([row.processGuid])).get(row.processGuid);
    if (runInfo === undefined) continue;
    bytes += runInfo.length;
    if (bytes > MAX_PAGE_BYTES && desiredLrps.length > 0) {
      const last = desiredLrps[desiredLrps.length - 1] as DesiredLrp;
      return { desiredLrps, nextPageToken: encodePageToken(last.processGuid) };
    }
    desiredLrps.push(fullDesiredLrpToProto(row, runInfo));
  }
  return { desiredLrps, nextPageToken };
}

async function inView(term: BbsTerm, rows: readonly DesiredLrpRow[], view: DesiredLrpView): Promise<DesiredLrp[]> {
  switch (view) {
    case DesiredLrpView.ROUTING:
      return rows.map(desiredLrpRoutingToProto);
    case DesiredLrpView.FULL:
      return (await fullPage(term, rows, '')).desiredLrps;
    default:
      return rows.map(desiredLrpToProto);
  }
}

/** New credentials rewrite the payload, which has to be read first: whoever changes the LRP meanwhile makes it read again. */
async function applyUpdate(
  term: BbsTerm,
  { processGuid, ifIndex }: UpdateDesiredLrpRequest,
  update: DesiredLrpUpdate,
): Promise<DesiredLrpRow> {
  const change: DesiredLrpChange = {
    ...(update.instances !== undefined && { instances: update.instances }),
    ...(update.routes !== undefined && { routes: update.routes.routes }),
    ...(update.annotation !== undefined && { annotation: update.annotation }),
    ...(update.metricTags !== undefined && { metricTags: update.metricTags.tags }),
  };
  const { imageUsername, imagePassword } = update;
  if (imageUsername === undefined || imagePassword === undefined) {
    return term.engine.execute((draft) => updateDesiredLrp(draft, processGuid, change, ifIndex));
  }
  for (let attempt = 0; ; attempt++) {
    const { result: row } = await term.engine.read((state) => state.desiredLrps.get(processGuid));
    const stored = row && (await term.runInfos.get([processGuid])).get(processGuid);
    if (row === undefined || stored === undefined) throw notFound(processGuid);
    const runInfo = withImageCredentials(stored, imageUsername, imagePassword);
    try {
      return await term.engine.execute((draft) =>
        updateDesiredLrp(draft, processGuid, { ...change, runInfo }, ifIndex ?? row.tagIndex),
      );
    } catch (error) {
      const overtaken = error instanceof RiveraError && error.reason === 'DESIRED_LRP_CONFLICT';
      if (!overtaken || ifIndex !== undefined || attempt === 4) throw error;
    }
  }
}

function* matching(state: State, request: ListDesiredLrpsRequest, after: string): Generator<DesiredLrpRow> {
  const wanted = new Set(request.processGuids);
  const keys = wanted.size > 0 ? [...wanted].sort().filter((guid) => guid > after) : state.desiredLrpOrder.after(after);
  for (const processGuid of keys) {
    const row = state.desiredLrps.get(processGuid);
    if (row === undefined) continue;
    if (request.domain !== '' && row.domain !== request.domain) continue;
    if (!processGuid.startsWith(request.processGuidPrefix)) continue;
    yield row;
  }
}

function notFound(processGuid: string): RiveraError {
  return new RiveraError('DESIRED_LRP_NOT_FOUND', `there is no LRP "${processGuid}"`, {
    resource: { type: 'desired_lrp', name: processGuid },
  });
}
