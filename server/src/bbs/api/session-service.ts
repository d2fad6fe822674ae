import type { SessionRequest, SessionResponse } from '@rivera/gen/rivera/bbs/v1/session_service';
import { RiveraError } from '@rivera/kit/errors';
import type { CallContext } from '@rivera/kit/grpc/host';
import { Outgoing } from '../../stream/outgoing.js';
import { cellArrived } from '../core/cell.js';
import { Session } from '../session/session.js';
import type { CurrentTerm } from '../term.js';
import { durationOf } from './from-proto.js';
import { validateHello } from './validate/cell.js';

const MAX_WAITING_RESPONSES = 4_096;

/** Handlers of rivera.bbs.v1.CellSessionService. */
export function sessionService(term: CurrentTerm) {
  return {
    async *session(
      requests: AsyncIterable<SessionRequest>,
      call: Pick<CallContext, 'peer' | 'signal' | 'log'>,
    ): AsyncGenerator<SessionResponse> {
      const incoming = requests[Symbol.asyncIterator]();
      const first = await incoming.next();
      const current = term();
      const session = await open(current, first, call);
      const ended = () => session.outgoing.end();
      call.signal.addEventListener('abort', ended, { once: true });
      void receiveAll(session, incoming);
      try {
        yield* session.outgoing;
      } finally {
        call.signal.removeEventListener('abort', ended);
        current.sessions.close(session);
        call.log.info({ cell: session.speaker.cellId }, 'session closed');
      }
    },
  };
}

async function open(
  current: ReturnType<CurrentTerm>,
  first: IteratorResult<SessionRequest>,
  call: Pick<CallContext, 'peer' | 'log'>,
): Promise<Session> {
  const message = first.done ? undefined : first.value.message;
  if (message?.$case !== 'hello' || message.value.presence === undefined) {
    throw new RiveraError('INVALID_REQUEST', 'the first message must be a hello with a presence');
  }
  const { presence, incarnation } = message.value;
  validateHello(message.value);
  if (call.peer.name !== presence.cellId) {
    throw new RiveraError(
      'CELL_MISMATCH',
      `the certificate of "${call.peer.name}" can't speak for cell "${presence.cellId}"`,
    );
  }
  const agentIsNew = current.engine.state.cells.get(presence.cellId)?.incarnation !== incarnation;
  const session = new Session(
    {
      engine: current.engine,
      runInfos: current.runInfos,
      taskDefinitions: current.taskDefinitions,
      log: current.log,
      seen: (cellId) => current.converger.seen(cellId),
      deafTo: (cellId) => current.converger.deafTo(cellId),
    },
    { cellId: presence.cellId, zone: presence.zone },
    new Outgoing<SessionResponse>(MAX_WAITING_RESPONSES),
    agentIsNew,
  );
  current.converger.seen(presence.cellId);
  await current.engine.execute((draft) => cellArrived(draft, presence, incarnation));
  const { presenceTtlMs } = current.engine.state.policy;
  session.outgoing.push({
    message: {
      $case: 'welcome',
      value: {
        heartbeatInterval: durationOf(Math.floor(presenceTtlMs / 3)),
        presenceTtl: durationOf(presenceTtlMs),
        epoch: current.engine.epoch,
      },
    },
  });
  current.sessions.open(session);
  // It may have been told on a stream that broke; until it knows, it bids for work that it is not given.
  if (current.engine.state.cells.get(presence.cellId)?.evacuating) {
    session.command([{ command: { $case: 'evacuate', value: {} } }]);
  }
  call.log.info({ cell: presence.cellId, zone: presence.zone }, 'session opened');
  return session;
}

async function receiveAll(session: Session, incoming: AsyncIterator<SessionRequest>): Promise<void> {
  try {
    for (let next = await incoming.next(); !next.done; next = await incoming.next()) await session.receive(next.value);
    session.outgoing.end();
  } catch (error) {
    session.outgoing.end(error instanceof Error ? error : new Error(String(error)));
  }
}
