import {
  type LedgerEntry,
  ListLedgerRequest,
  AuctionServiceService as methods,
} from '@rivera/gen/rivera/auction/v1/auction_service';
import type { CallOptions, Filter } from '../input.js';
import { paged } from '../transport/pages.js';
import type { Transport } from '../transport/transport.js';

/** What the active auctioneer knows. */
export class Auction {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Every cell as the auctioneer sees it, in order of id. */
  ledger(filter: Filter<ListLedgerRequest> = {}, options?: CallOptions): AsyncIterable<LedgerEntry> {
    return paged(async (pageToken) => {
      const request = ListLedgerRequest.fromPartial({ ...filter, pageToken });
      const page = await this.#transport.unary(methods.listLedger, request, { safety: 'repeatable' }, options);
      return { items: page.entries, next: page.nextPageToken };
    });
  }
}
