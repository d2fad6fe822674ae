import { status } from '@grpc/grpc-js';
import type { CallObserver, CallOutcome, ObservedCall } from '../grpc/observer.js';
import { createLogger, type Logger } from '../log.js';
import type { AuditConfig } from './config.js';
import { LineFile } from './line-file.js';
import { type Subject, subjectOf } from './subject.js';

/** Numbered commands of one stream that wait for their answer; what serves them has a bound below this. */
const MAX_UNANSWERED = 32_768;

/** What is known of a call that is open. */
interface CallRecord {
  subject: Subject;
  messages: number;
  /** Of streams whose requests are numbered and answered one by one. */
  unanswered: Map<number, Subject> | undefined;
}

/**
 * Writes one line for every call that may change something, when it is over: who (role and name of the certificate), from where,
 * what (method and what the request names) and the outcome. Calls that were refused are in it too. A stream of numbered commands
 * gets a line for each command as well. Which methods those are follows from the access tables (`ObservedCall.changing`).
 */
export class AuditLog implements CallObserver {
  readonly #records = new WeakMap<ObservedCall, CallRecord>();

  constructor(private readonly log: Logger) {}

  received(call: ObservedCall, message: unknown): void {
    if (!call.changing) return;
    let record = this.#records.get(call);
    if (record === undefined) {
      record = { subject: subjectOf(message), messages: 0, unanswered: undefined };
      this.#records.set(call, record);
    }
    record.messages++;
    const number = call.streaming ? numberOf(message) : undefined;
    if (number === undefined) return;
    record.unanswered ??= new Map();
    if (record.unanswered.size >= MAX_UNANSWERED) this.#write(call, { outcome: 'UNANSWERED', ...subjectOf(message) });
    else record.unanswered.set(number, subjectOf(message));
  }

  sent(call: ObservedCall, message: unknown): void {
    if (!call.changing || !call.streaming) return;
    const unanswered = this.#records.get(call)?.unanswered;
    const number = unanswered && numberOf(message);
    const subject = number === undefined ? undefined : unanswered?.get(number);
    if (number === undefined || subject === undefined) return;
    unanswered?.delete(number);
    const code = typeof message === 'object' && message !== null && 'code' in message ? Number(message.code) : 0;
    this.#write(call, { outcome: status[code] ?? String(code), ...subject });
  }

  ended(call: ObservedCall, { code, ms }: CallOutcome): void {
    if (!call.changing) return;
    const record = this.#records.get(call);
    this.#records.delete(call);
    for (const subject of record?.unanswered?.values() ?? []) {
      this.#write(call, { outcome: 'UNANSWERED', ...subject });
    }
    const of = record?.unanswered === undefined ? record?.subject : undefined;
    this.#write(call, {
      outcome: status[code] ?? String(code),
      ms: Math.round(ms),
      ...(call.streaming && { messages: record?.messages ?? 0 }),
      ...of,
    });
  }

  #write({ peer, remoteAddress, method }: ObservedCall, facts: Readonly<Record<string, string | number>>): void {
    this.log.info({ role: peer?.role, peer: peer?.name, from: remoteAddress, method, ...facts }, 'audit');
  }
}

/** Opens the record; `log` is for what is recorded besides calls. @throws Error of Node when its file can't be opened */
export function openAudit(
  { enabled, file }: AuditConfig,
  log: Logger,
): { readonly observers: readonly CallObserver[]; readonly log: Logger | undefined; close(): void } {
  if (!enabled) return { observers: [], log: undefined, close: () => {} };
  if (file === '') {
    // Whoever wants no log at all wants none of this either; else what level the log has is no matter.
    const level = log.level === 'silent' ? 'silent' : 'info';
    const own = log.child({ audit: true }, { level });
    return { observers: [new AuditLog(own)], log: own, close: () => {} };
  }
  const destination = new LineFile(file, (error) =>
    log.error({ err: error, file }, 'audit lines could not be written'),
  );
  const own = createLogger({ name: 'audit', destination }).child({ audit: true });
  return {
    observers: [new AuditLog(own)],
    log: own,
    close: () => void destination.destroy(),
  };
}

function numberOf(message: unknown): number | undefined {
  if (typeof message !== 'object' || message === null || !('sequence' in message)) return undefined;
  return typeof message.sequence === 'number' ? message.sequence : undefined;
}
