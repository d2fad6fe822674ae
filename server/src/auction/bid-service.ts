import type { BidRequest, BidResponse, BidServiceService, CellBid } from '@rivera/gen/rivera/auction/v1/bid_service';
import { RiveraError } from '@rivera/kit/errors';
import type { CallContext, Handlers } from '@rivera/kit/grpc/host';
import type { Auctioneer, CellPort } from './auctioneer.js';
import { CellOutbox } from './cell-outbox.js';

/** The term that is on, or an error that says who has it. */
export type CurrentTerm = () => Auctioneer;

/** The cells' streams: thin, everything is decided by the {@link Auctioneer}. */
export function bidHandlers(
  currentTerm: CurrentTerm,
  limits: { maxUnsentPerCell: number },
): Handlers<typeof BidServiceService> {
  return {
    bid: (requests, ctx) => {
      currentTerm();
      return serve(currentTerm, requests, ctx, limits.maxUnsentPerCell);
    },
  };
}

async function* serve(
  currentTerm: CurrentTerm,
  requests: AsyncIterable<BidRequest>,
  ctx: CallContext,
  maxUnsent: number,
): AsyncGenerator<BidResponse, void> {
  const incoming = requests[Symbol.asyncIterator]();
  const bid = fullState((await incoming.next()).value, ctx);
  const term = currentTerm();
  const outbox = new CellOutbox({ cellId: bid.cellId, epoch: term.epoch, maxUnsent });
  const hangUp = () => outbox.end(ctx.signal.reason instanceof RiveraError ? ctx.signal.reason : undefined);
  ctx.signal.addEventListener('abort', hangUp, { once: true });
  if (ctx.signal.aborted) hangUp();
  term.connect(outbox, bid);
  // Both directions go on by themselves; whichever ends first takes the other with it.
  listen(term, outbox, { [Symbol.asyncIterator]: () => incoming }, ctx).then(
    () => outbox.end(),
    (error: unknown) =>
      outbox.end(
        error instanceof RiveraError ? error : new RiveraError('INTERNAL', 'the stream broke', { cause: error }),
      ),
  );
  try {
    yield* outbox;
  } finally {
    ctx.signal.removeEventListener('abort', hangUp);
    term.disconnect(outbox);
    void incoming.return?.();
  }
}

async function listen(
  term: Auctioneer,
  port: CellPort,
  requests: AsyncIterable<BidRequest>,
  ctx: CallContext,
): Promise<void> {
  for await (const { message } of requests) {
    switch (message?.$case) {
      case 'bid':
        term.restate(port, fullState({ message }, ctx));
        break;
      case 'delta':
        term.change(port, message.value);
        break;
      case 'answers':
        term.answer(port, message.value.answers);
        break;
      case undefined:
        break;
    }
  }
}

/** A cell speaks for itself alone. */
function fullState(request: BidRequest | undefined, ctx: CallContext): CellBid {
  if (request?.message?.$case !== 'bid') {
    throw new RiveraError('INVALID_REQUEST', 'the first message must be the full state', {
      violations: [{ field: 'bid', description: 'must be set in the first message' }],
    });
  }
  const bid = request.message.value;
  if (ctx.peer.role !== 'cell' || ctx.peer.name !== bid.cellId) {
    throw new RiveraError('CELL_MISMATCH', `${ctx.peer.role} "${ctx.peer.name}" bids as cell "${bid.cellId}"`, {
      metadata: { cell_id: bid.cellId, peer: ctx.peer.name },
    });
  }
  return bid;
}
