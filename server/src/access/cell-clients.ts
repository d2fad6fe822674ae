import { RepServiceClient } from '@rivera/gen/rivera/rep/v1/rep_service';
import { dial } from '@rivera/kit/grpc/dial';
import type { Identity } from '@rivera/kit/tls/identity';

/** Connections to cells, made when they are needed; those that were not used for longest are closed. */
export class CellClients {
  private readonly clients = new Map<string, RepServiceClient>();

  constructor(
    private readonly identity: Identity,
    private readonly capacity = 1_024,
  ) {}

  /** The client for a cell; the cell's certificate must carry its id. */
  get(cellId: string, address: string): RepServiceClient {
    const key = `${cellId}@${address}`;
    const known = this.clients.get(key);
    if (known !== undefined) {
      this.clients.delete(key);
      this.clients.set(key, known);
      return known;
    }
    const client = dial(RepServiceClient, address, this.identity, { expect: 'cell', expectName: cellId });
    this.clients.set(key, client);
    for (const [oldest, idle] of this.clients) {
      if (this.clients.size <= this.capacity) break;
      this.clients.delete(oldest);
      idle.close();
    }
    return client;
  }

  close(): void {
    for (const client of this.clients.values()) client.close();
    this.clients.clear();
  }
}
