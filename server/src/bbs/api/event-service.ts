import type { WatchRequest, WatchResponse } from '@rivera/gen/rivera/bbs/v1/event_service';
import { RiveraError } from '@rivera/kit/errors';
import type { CallContext } from '@rivera/kit/grpc/host';
import type { CellRow } from '../core/model.js';
import type { CurrentTerm } from '../term.js';
import { watch } from '../watch/watch.js';

/** Handlers of rivera.bbs.v1.EventService. */
export function eventService(term: CurrentTerm) {
  return {
    async *watch(request: WatchRequest, call: Pick<CallContext, 'signal'>): AsyncGenerator<WatchResponse> {
      if (request.snapshot && request.resumeToken !== '') {
        throw new RiveraError('INVALID_REQUEST', 'snapshot and resume_token exclude each other', {
          violations: [{ field: 'resume_token', description: 'excludes snapshot' }],
        });
      }
      const current = term();
      const source = {
        engine: current.engine,
        log: current.changeLog,
        time: current.watchTime,
        cellRecord: (row: CellRow) => ({ $case: 'cell' as const, value: current.cell(row) }),
      };
      yield* watch(source, request, AbortSignal.any([call.signal, current.engine.signal]));
      if (current.engine.signal.aborted)
        throw new RiveraError('NOT_LEADER', 'this server no longer leads: resume at the new leader');
    },
  };
}
