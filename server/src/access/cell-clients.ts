import { RepServiceClient } from '@rivera/gen/rivera/rep/v1/rep_service';
import { RiveraError } from '@rivera/kit/errors';
import { dial } from '@rivera/kit/grpc/dial';
import type { Identity } from '@rivera/kit/tls/identity';

/**
 * What a cell may have sent that nobody has read yet, for one stream and for all of a connection: at 64 KiB, which is usual, all people on
 * a cell together would wait for each other's round trips.
 */
const FLOW_WINDOW_BYTES = 1024 * 1024;

/**
 * Connections to cells, made when they are needed; those that were not used for longest are closed. Streams that run on a
 * closed client go on to their end.
 */
export class CellClients {
  private readonly clients = new Map<string, RepServiceClient>();
  private closed = false;

  constructor(
    private readonly identity: Identity,
    private readonly capacity = 1_024,
  ) {}

  /**
   * The client for a cell; the cell's certificate must carry its id.
   * @throws CELL_UNREACHABLE when the address is none, SHUTTING_DOWN after close()
   */
  get(cellId: string, address: string): RepServiceClient {
    if (this.closed) throw new RiveraError('SHUTTING_DOWN', 'the server is closing');
    const key = `${cellId}@${address}`;
    const known = this.clients.get(key);
    if (known !== undefined) {
      this.clients.delete(key);
      this.clients.set(key, known);
      return known;
    }
    const client = this.dial(cellId, address);
    this.clients.set(key, client);
    for (const [oldest, idle] of this.clients) {
      if (this.clients.size <= this.capacity) break;
      this.clients.delete(oldest);
      idle.close();
    }
    return client;
  }

  close(): void {
    this.closed = true;
    for (const client of this.clients.values()) client.close();
    this.clients.clear();
  }

  private dial(cellId: string, address: string): RepServiceClient {
    try {
      return dial(RepServiceClient, address, this.identity, {
        expect: 'cell',
        expectName: cellId,
        'grpc-node.flow_control_window': FLOW_WINDOW_BYTES,
      });
    } catch (cause) {
      throw new RiveraError('CELL_UNREACHABLE', `cell "${cellId}" announces "${address}", which is not an address`, {
        metadata: { cell_id: cellId },
        resource: { type: 'cell', name: cellId },
        cause,
      });
    }
  }
}
