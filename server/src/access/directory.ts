import { ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import type { ContainerTarget } from '@rivera/gen/rivera/rep/v1/container';
import { RiveraError } from '@rivera/kit/errors';
import type { RiveraClient } from '@rivera/sdk/client';
import { passingErrors } from './sdk-errors.js';

/** Where a container is. */
export interface Location {
  readonly cellId: string;
  readonly address: string;
  /** The container's own name, so that it can't be mistaken for its successor. */
  readonly target: ContainerTarget;
}

/** Finds cells and containers through the BBS. */
export class Directory {
  constructor(private readonly client: RiveraClient) {}

  /** @throws CONTAINER_NOT_FOUND, CONTAINER_NOT_READY */
  async locate(target: ContainerTarget | undefined): Promise<Location> {
    const wanted = target?.target;
    switch (wanted?.$case) {
      case 'instance': {
        const { processGuid, index } = wanted.value;
        const rows = await passingErrors(this.client.actualLrps.get(processGuid, index));
        const onCell = rows.filter((row) => row.cellId !== '');
        const best =
          onCell.find((row) => row.state === ActualLrpState.RUNNING && row.presence === ActualLrpPresence.ORDINARY) ??
          onCell.find((row) => row.state === ActualLrpState.RUNNING) ??
          onCell[0];
        if (best === undefined) {
          throw new RiveraError(
            'CONTAINER_NOT_READY',
            `instance ${processGuid}/${index} has no container at the moment`,
          );
        }
        return this.at(best.cellId, { target: { $case: 'containerGuid', value: best.instanceGuid } });
      }
      case 'taskGuid': {
        const task = await passingErrors(this.client.tasks.get(wanted.value));
        if (task.cellId === '') {
          throw new RiveraError('CONTAINER_NOT_READY', `task "${wanted.value}" has no container at the moment`);
        }
        return this.at(task.cellId, { target: wanted });
      }
      default:
        throw new RiveraError('INVALID_REQUEST', 'target must name an instance or a task', {
          violations: [{ field: 'target', description: 'must name an instance or a task' }],
        });
    }
  }

  /** Cells that are there. */
  presentCells(): Promise<{ cellId: string; address: string }[]> {
    return passingErrors(this.listPresent());
  }

  private async listPresent(): Promise<{ cellId: string; address: string }[]> {
    const cells: { cellId: string; address: string }[] = [];
    for await (const { presence, state } of this.client.cells.list()) {
      if (presence === undefined || state === CellState.MISSING) continue;
      cells.push({ cellId: presence.cellId, address: presence.repAddress });
    }
    return cells;
  }

  private async at(cellId: string, target: ContainerTarget): Promise<Location> {
    const { presence } = await passingErrors(this.client.cells.get(cellId));
    if (presence === undefined || presence.repAddress === '') {
      throw new RiveraError('CELL_UNREACHABLE', `cell "${cellId}" has no address`);
    }
    return { cellId, address: presence.repAddress, target };
  }
}
