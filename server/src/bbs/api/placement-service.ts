import type { PlaceRequest, PlaceResponse } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { RiveraError } from '@rivera/kit/errors';
import type { CallContext } from '@rivera/kit/grpc/host';
import type { CurrentTerm } from '../term.js';

/** Handlers of rivera.bbs.v1.PlacementService. */
export function placementService(term: CurrentTerm) {
  return {
    async *place(
      requests: AsyncIterable<PlaceRequest>,
      call: Pick<CallContext, 'signal'>,
    ): AsyncGenerator<PlaceResponse> {
      const incoming = requests[Symbol.asyncIterator]();
      const first = await incoming.next();
      const hello = first.done ? undefined : first.value.message;
      if (hello?.$case !== 'hello') throw new RiveraError('INVALID_REQUEST', 'the first message must be a hello');
      const { placement } = term();
      const outgoing = placement.connect(hello.value.auctioneerId, hello.value.epoch);
      const ended = () => outgoing.end();
      call.signal.addEventListener('abort', ended, { once: true });
      void (async () => {
        try {
          for (let next = await incoming.next(); !next.done; next = await incoming.next()) {
            if (next.value.message?.$case === 'results') placement.results(outgoing, next.value.message.value.results);
          }
          outgoing.end();
        } catch (error) {
          outgoing.end(error instanceof Error ? error : new Error(String(error)));
        }
      })();
      try {
        yield* outgoing;
      } finally {
        call.signal.removeEventListener('abort', ended);
        placement.disconnect(outgoing);
      }
    },
  };
}
