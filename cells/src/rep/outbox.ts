import type { Transition } from '@rivera/gen/rivera/bbs/v1/session_service';

/** What happened, without its number. */
export type TransitionContent = NonNullable<Transition['transition']>;

/** A transition that was not answered yet. */
export interface Pending<Subject> {
  readonly sequence: number;
  readonly content: TransitionContent;
  /** For whom it is; comes back with the answer. */
  readonly subject: Subject;
  /** Whether it was written to the stream that is open now. */
  sent: boolean;
}

/** Most transitions of one batch; the protocol's bound. */
export const MAX_BATCH = 1_000;

/** Most characters of one batch, about; with every character at three bytes it still fits a gRPC message of 4 MiB. */
const MAX_BATCH_CHARACTERS = 1024 * 1024;

/** What a request for a definition counts as, since the definition comes back in the answer to the batch. */
const DEFINITION_CHARACTERS = 8 * 1024;

/** Sent entries are cut off the queue in pieces of this size: a cut costs what is left, so not at every batch. */
const COMPACT_AT = 16 * MAX_BATCH;

/**
 * Transitions from when they happen until the BBS has acknowledged them as durable. They keep their numbers and their order
 * when they are sent again after a reconnect. It is bounded by what its owner puts in: at most one per piece of work.
 */
export class Outbox<Subject> {
  /** In order of sequence. */
  readonly #pending = new Map<number, Pending<Subject>>();
  #unsent: Pending<Subject>[] = [];
  #nextUnsent = 0;
  #sequence = 0;
  #lastEarlier = 0;
  #sentUnanswered = 0;
  #onFilled: () => void = () => {};

  get size(): number {
    return this.#pending.size;
  }

  /** How many were written to the stream that is open now, and have no answer. */
  get sentUnanswered(): number {
    return this.#sentUnanswered;
  }

  /** Whether some of what was unanswered when the stream opened still waits to be sent. */
  get hasEarlier(): boolean {
    const entry = this.#unsent[this.#nextUnsent];
    return entry !== undefined && entry.sequence <= this.#lastEarlier;
  }

  /** Called when there is something to send. */
  onFilled(listener: () => void): void {
    this.#onFilled = listener;
  }

  add(content: TransitionContent, subject: Subject): void {
    const entry: Pending<Subject> = { sequence: ++this.#sequence, content, subject, sent: false };
    this.#pending.set(entry.sequence, entry);
    this.#unsent.push(entry);
    this.#onFilled();
  }

  /** The next batch for the stream, in order; empty when all is sent. */
  take(): Transition[] {
    const batch: Pending<Subject>[] = [];
    let characters = 0;
    while (batch.length < MAX_BATCH && characters < MAX_BATCH_CHARACTERS) {
      const entry = this.#unsent[this.#nextUnsent];
      if (entry === undefined) break;
      this.#nextUnsent++;
      batch.push(entry);
      characters += weigh(entry.content);
    }
    if (this.#nextUnsent >= this.#unsent.length || this.#nextUnsent >= COMPACT_AT) {
      this.#unsent = this.#unsent.slice(this.#nextUnsent);
      this.#nextUnsent = 0;
    }
    return batch.map((entry) => {
      entry.sent = true;
      this.#sentUnanswered++;
      return { sequence: entry.sequence, transition: entry.content };
    });
  }

  /** What was written to the stream and waits for an answer. */
  *sent(): Iterable<Pending<Subject>> {
    for (const entry of this.#pending.values()) if (entry.sent) yield entry;
  }

  /** A stream opened: everything unanswered is to be sent, again or for the first time. */
  rewind(): void {
    this.#lastEarlier = this.#sequence;
    this.#unsent = [...this.#pending.values()];
    this.#nextUnsent = 0;
    for (const entry of this.#unsent) entry.sent = false;
    this.#sentUnanswered = 0;
  }

  /** Settles one; undefined when it was settled before, as a BBS may answer twice. */
  settle(sequence: number): Pending<Subject> | undefined {
    const entry = this.#pending.get(sequence);
    if (entry?.sent) this.#sentUnanswered--;
    this.#pending.delete(sequence);
    return entry;
  }
}

/** Characters of a transition, about: what can be long is counted, the rest is taken as usual. */
function weigh(content: TransitionContent): number {
  const usual = 256;
  switch (content.$case) {
    case 'lrpRunning': {
      let characters = usual;
      for (const [name, value] of Object.entries(content.value.metricTags)) characters += name.length + value.length;
      for (const route of content.value.internalRoutes) characters += route.hostname.length;
      return characters;
    }
    case 'lrpCrashed':
    case 'taskRejected':
      return usual + content.value.reason.length;
    case 'taskCompleted':
      return usual + content.value.failureReason.length + content.value.result.length;
    case 'lrpClaimed':
    case 'taskStarted':
      return content.value.includeDefinition ? DEFINITION_CHARACTERS : usual;
    case 'lrpRemoved':
      return usual;
  }
}
