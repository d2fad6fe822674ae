import { AccessServiceService as access, ListCellContainersRequest } from '@rivera/gen/rivera/access/v1/access_service';
import type { Cell } from '@rivera/gen/rivera/bbs/v1/cell';
import {
  DeclareCellMissingRequest,
  EvacuateCellRequest,
  GetCellRequest,
  ListCellsRequest,
  CellServiceService as methods,
} from '@rivera/gen/rivera/bbs/v1/cell_service';
import type { Container } from '@rivera/gen/rivera/rep/v1/container';
import { NotFoundError } from '../errors.js';
import type { CallOptions, Filter } from '../input.js';
import { paged } from '../transport/pages.js';
import type { Transport } from '../transport/transport.js';
import { present } from './present.js';

/** Cells: the machines that run the work. */
export class Cells {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Cells in order of id. */
  list(filter: Filter<ListCellsRequest> = {}, options?: CallOptions): AsyncIterable<Cell> {
    return paged(async (pageToken) => {
      const request = ListCellsRequest.fromPartial({ ...filter, pageToken });
      const page = await this.#transport.unary(methods.listCells, request, { safety: 'repeatable' }, options);
      return { items: page.cells, next: page.nextPageToken };
    });
  }

  /**
   * Containers of a cell as the cell itself knows them, in order of guid, with what they used at its last look.
   * @throws NotFoundError; UnavailableError when the cell can't be asked.
   */
  containers(cellId: string, options?: CallOptions): AsyncIterable<Container> {
    return paged(async (pageToken) => {
      const request = ListCellContainersRequest.fromPartial({ cellId, pageToken });
      const page = await this.#transport.unary(access.listCellContainers, request, { safety: 'repeatable' }, options);
      return { items: page.containers, next: page.nextPageToken };
    });
  }

  /** One cell. @throws NotFoundError */
  async get(cellId: string, options?: CallOptions): Promise<Cell> {
    const request = GetCellRequest.fromPartial({ cellId });
    const answer = await this.#transport.unary(methods.getCell, request, { safety: 'repeatable' }, options);
    return present(answer.cell, 'cell');
  }

  /**
   * Drains a cell: its instances are replaced elsewhere, then its agent ends. To ask twice is to ask once; a repeat that
   * no longer finds the cell, after an attempt of unknown outcome, has succeeded.
   */
  async evacuate(cellId: string, options?: CallOptions): Promise<void> {
    const afterDoubt = (decision: unknown) => (decision instanceof NotFoundError ? {} : undefined);
    const policy = { safety: 'repeatable', afterDoubt } as const;
    await this.#transport.unary(methods.evacuateCell, EvacuateCellRequest.fromPartial({ cellId }), policy, options);
  }

  /**
   * Confirms that a silent cell is gone: its instances are placed elsewhere and its Tasks fail, now. To tell twice is to tell once; a
   * repeat that no longer finds the cell, after an attempt of unknown outcome, has succeeded.
   * @throws FailedPreconditionError while the cell is heard of.
   */
  async declareMissing(cellId: string, options?: CallOptions): Promise<void> {
    const afterDoubt = (decision: unknown) => (decision instanceof NotFoundError ? {} : undefined);
    const policy = { safety: 'repeatable', afterDoubt } as const;
    const request = DeclareCellMissingRequest.fromPartial({ cellId });
    await this.#transport.unary(methods.declareCellMissing, request, policy, options);
  }
}
