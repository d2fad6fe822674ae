import type {
  DeclareCellMissingRequest,
  DeclareCellMissingResponse,
  EvacuateCellRequest,
  EvacuateCellResponse,
  GetCellRequest,
  GetCellResponse,
  ListCellsRequest,
  ListCellsResponse,
} from '@rivera/gen/rivera/bbs/v1/cell_service';
import { RiveraError } from '@rivera/kit/errors';
import { declareCellMissing, evacuateCell } from '../core/cell.js';
import type { CurrentTerm } from '../term.js';
import { decodePageToken, pageSize, takePage } from './paging.js';
import { requireText } from './validate/requests.js';

const PAGE = { defaultSize: 500, maxSize: 1_000 };

/** Handlers of rivera.bbs.v1.CellService. */
export function cellService(term: CurrentTerm) {
  return {
    async listCells(request: ListCellsRequest): Promise<ListCellsResponse> {
      const size = pageSize(request.pageSize, PAGE);
      const after = decodePageToken(request.pageToken);
      const current = term();
      const { result, revision } = await current.engine.read((state) => {
        const rows = [...state.cells.values()].filter(
          (row) => row.cellId > after && (request.zone === '' || row.presence.zone === request.zone),
        );
        rows.sort((a, b) => (a.cellId < b.cellId ? -1 : 1));
        return takePage(rows, { size, keyOf: (row) => row.cellId });
      });
      return { cells: result.page.map((row) => current.cell(row)), nextPageToken: result.nextPageToken, revision };
    },

    async getCell({ cellId }: GetCellRequest): Promise<GetCellResponse> {
      requireText('cell_id', cellId);
      const current = term();
      const { result: row } = await current.engine.read((state) => state.cells.get(cellId));
      if (row === undefined) {
        throw new RiveraError('CELL_NOT_FOUND', `there is no cell "${cellId}"`, {
          resource: { type: 'cell', name: cellId },
        });
      }
      return { cell: current.cell(row) };
    },

    async evacuateCell({ cellId }: EvacuateCellRequest): Promise<EvacuateCellResponse> {
      requireText('cell_id', cellId);
      await term().engine.execute((draft) => evacuateCell(draft, cellId));
      return {};
    },

    async declareCellMissing({ cellId }: DeclareCellMissingRequest): Promise<DeclareCellMissingResponse> {
      requireText('cell_id', cellId);
      const { engine, converger } = term();
      await engine.execute((draft) => declareCellMissing(draft, cellId, (id) => converger.lastSeenMs(id)));
      return {};
    },
  };
}
