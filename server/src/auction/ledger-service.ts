import {
  type AuctionServiceService,
  LedgerEntry,
  type ListLedgerRequest,
  type ListLedgerResponse,
} from '@rivera/gen/rivera/auction/v1/auction_service';
import { RiveraError } from '@rivera/kit/errors';
import type { Handlers } from '@rivera/kit/grpc/host';
import type { Auctioneer } from './auctioneer.js';
import type { CurrentTerm } from './bid-service.js';
import type { LedgerCell } from './ledger-cell.js';

const DEFAULT_PAGE = 500;
const LARGEST_PAGE = 1_000;

/** What operators ask the active auctioneer. */
export function ledgerHandlers(currentTerm: CurrentTerm): Handlers<typeof AuctionServiceService> {
  return { listLedger: (request) => listLedger(currentTerm(), request) };
}

function listLedger(term: Auctioneer, { pageSize, pageToken }: ListLedgerRequest): ListLedgerResponse {
  if (pageSize < 0 || pageSize > LARGEST_PAGE) {
    throw new RiveraError('INVALID_REQUEST', `page_size must be 0..${LARGEST_PAGE}`, {
      violations: [{ field: 'page_size', description: `must be 0..${LARGEST_PAGE}` }],
    });
  }
  const afterId = Buffer.from(pageToken, 'base64url').toString();
  const rest = term.cells().filter((cell) => cell.id > afterId);
  const page = rest.slice(0, pageSize || DEFAULT_PAGE);
  const last = page.at(-1);
  return {
    entries: page.map(toEntry),
    nextPageToken: last === undefined || page.length === rest.length ? '' : Buffer.from(last.id).toString('base64url'),
    queued: term.queued,
    epoch: term.epoch,
  };
}

function toEntry(cell: LedgerCell): LedgerEntry {
  const { total, free } = cell;
  return LedgerEntry.fromPartial({
    cellId: cell.id,
    zone: cell.zone,
    total,
    available: free,
    held: cell.held.size,
    unconfirmed: cell.assignments.size,
    evacuating: cell.evacuating,
    ...(cell.avoidedUntilMs > 0 ? { avoidedUntil: new Date(cell.avoidedUntilMs) } : {}),
  });
}
