import { ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import type { ContainerTarget } from '@rivera/gen/rivera/rep/v1/container';
import { RiveraError } from '@rivera/kit/errors';
import type { RiveraClient } from '@rivera/sdk/client';
import { passingErrors } from './sdk-errors.js';

/** A cell and where it answers. */
export interface CellAddress {
  readonly cellId: string;
  readonly address: string;
}

/** Where a container is. */
export interface Location extends CellAddress {
  /** The container's own name, so that it can't be mistaken for its successor. */
  readonly target: ContainerTarget;
}

/** Where a slot has several containers: its own, one that is being replaced, one whose cell is not heard of. */
const MOST_ALIVE_FIRST = [ActualLrpPresence.ORDINARY, ActualLrpPresence.EVACUATING, ActualLrpPresence.SUSPECT];

/** Finds cells and containers through the BBS. */
export class Directory {
  constructor(private readonly client: RiveraClient) {}

  /** @throws CONTAINER_NOT_READY, CELL_UNREACHABLE, INVALID_REQUEST, and what the BBS answers */
  async locate(target: ContainerTarget | undefined, signal?: AbortSignal): Promise<Location> {
    const wanted = target?.target;
    switch (wanted?.$case) {
      case 'instance': {
        const { processGuid, index } = wanted.value;
        const rows = await passingErrors(this.client.actualLrps.get(processGuid, index, { signal }));
        const onCell = rows.filter((row) => row.cellId !== '');
        const running = onCell.filter((row) => row.state === ActualLrpState.RUNNING);
        const best =
          MOST_ALIVE_FIRST.flatMap((part) => running.filter(({ presence }) => presence === part))[0] ?? onCell[0];
        if (best === undefined) {
          throw new RiveraError(
            'CONTAINER_NOT_READY',
            `instance ${processGuid}/${index} has no container at the moment`,
          );
        }
        return this.at(best.cellId, { target: { $case: 'containerGuid', value: best.instanceGuid } }, signal);
      }
      case 'taskGuid': {
        const task = await passingErrors(this.client.tasks.get(wanted.value, { signal }));
        if (task.cellId === '') {
          throw new RiveraError('CONTAINER_NOT_READY', `task "${wanted.value}" has no container at the moment`);
        }
        return this.at(task.cellId, { target: wanted }, signal);
      }
      default:
        throw new RiveraError('INVALID_REQUEST', 'target must name an instance or a task', {
          violations: [{ field: 'target', description: 'must name an instance or a task' }],
        });
    }
  }

  /** Cells that are there. @throws what the BBS answers */
  presentCells(signal?: AbortSignal): Promise<CellAddress[]> {
    return passingErrors(this.listPresent(signal));
  }

  /** @throws CELL_UNREACHABLE, and what the BBS answers */
  async cell(cellId: string, signal?: AbortSignal): Promise<CellAddress> {
    const { presence } = await passingErrors(this.client.cells.get(cellId, { signal }));
    if (presence === undefined || presence.repAddress === '') {
      throw new RiveraError('CELL_UNREACHABLE', `cell "${cellId}" has no address`);
    }
    return { cellId, address: presence.repAddress };
  }

  private async listPresent(signal: AbortSignal | undefined): Promise<CellAddress[]> {
    const cells: CellAddress[] = [];
    for await (const { presence, state } of this.client.cells.list({}, { signal })) {
      if (presence === undefined || state === CellState.MISSING) continue;
      cells.push({ cellId: presence.cellId, address: presence.repAddress });
    }
    return cells;
  }

  private async at(cellId: string, target: ContainerTarget, signal: AbortSignal | undefined): Promise<Location> {
    return { ...(await this.cell(cellId, signal)), target };
  }
}
