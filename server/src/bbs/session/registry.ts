import type { CellCommand } from '@rivera/gen/rivera/bbs/v1/session_service';
import { RiveraError } from '@rivera/kit/errors';
import type { Effect } from '../core/draft.js';
import type { Session } from './session.js';

/** The open sessions, one per cell. */
export class SessionRegistry {
  private readonly sessions = new Map<string, Session>();
  private closed: Error | undefined;

  /** A cell that comes anew replaces its earlier session, which may be a dead connection. @throws the reason after `closeAll` */
  open(session: Session): void {
    if (this.closed !== undefined) throw this.closed;
    const { cellId } = session.speaker;
    const earlier = this.sessions.get(cellId);
    this.sessions.set(cellId, session);
    earlier?.replace(new RiveraError('SESSION_REPLACED', `cell "${cellId}" has opened another session`));
  }

  close(session: Session): void {
    if (this.sessions.get(session.speaker.cellId) === session) this.sessions.delete(session.speaker.cellId);
  }

  get size(): number {
    return this.sessions.size;
  }

  /** Hands commands to the cells they are for; those that are away learn when they are back. */
  dispatch(effects: readonly Effect[]): void {
    const commands = new Map<string, CellCommand[]>();
    for (const effect of effects) {
      const addressed = toCommand(effect);
      if (addressed === undefined) continue;
      const waiting = commands.get(addressed.cellId);
      if (waiting === undefined) commands.set(addressed.cellId, [addressed.command]);
      else waiting.push(addressed.command);
    }
    for (const [cellId, list] of commands) this.sessions.get(cellId)?.command(list);
    for (const effect of effects) {
      if (effect.kind === 'end-session') this.end(effect.cellId, new RiveraError('SESSION_REPLACED', effect.reason));
    }
  }

  /** Ends one session; the cell comes again. */
  private end(cellId: string, error: Error): void {
    const session = this.sessions.get(cellId);
    this.sessions.delete(cellId);
    session?.replace(error);
  }

  /** Ends all sessions; the cells look for the new leader. */
  closeAll(error: Error): void {
    this.closed = error;
    for (const session of this.sessions.values()) session.replace(error);
    this.sessions.clear();
  }
}

function toCommand(effect: Effect): { cellId: string; command: CellCommand } | undefined {
  switch (effect.kind) {
    case 'stop-lrp': {
      const { processGuid, index, domain, instanceGuid, cellId } = effect.instance;
      const value = { key: { processGuid, index, domain }, instanceGuid, reason: effect.reason };
      return { cellId, command: { command: { $case: 'stopLrp', value } } };
    }
    case 'update-lrp': {
      const { processGuid, index, domain, instanceGuid, cellId } = effect.instance;
      const value = {
        key: { processGuid, index, domain },
        instanceGuid,
        internalRoutes: effect.internalRoutes.map((hostname) => ({ hostname })),
        metricTags: effect.metricTags,
      };
      return { cellId, command: { command: { $case: 'updateLrp', value } } };
    }
    case 'cancel-task': {
      const { cellId, taskGuid, executionGuid } = effect;
      return { cellId, command: { command: { $case: 'cancelTask', value: { taskGuid, executionGuid } } } };
    }
    case 'evacuate-cell':
      return { cellId: effect.cellId, command: { command: { $case: 'evacuate', value: {} } } };
    default:
      return undefined;
  }
}
