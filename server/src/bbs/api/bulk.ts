import { type ErrorReason, RiveraError } from '@rivera/kit/errors';
import { Outgoing } from '../../stream/outgoing.js';
import type { Engine } from '../engine/engine.js';

const MAX_OPEN = 10_000;

/** What became of one command of the stream. */
export interface BulkAnswer<Told = unknown> {
  readonly sequence: number;
  readonly code: number;
  readonly message: string;
  /** What applying it told; undefined when it was refused. */
  readonly told: Told | undefined;
}

/**
 * Applies a stream of commands without waiting between them: each is answered, in order, once it is durable, and a whole stream
 * shares few transactions. What may be under way is bounded; the client is slowed down by not being read, also while the database
 * can't keep up: a stream has time, and none of its commands is refused for that. When the engine ends, the stream ends with it.
 */
export async function* bulk<Q extends { sequence: number }, Told>(
  requests: AsyncIterable<Q>,
  engine: Engine,
  apply: (request: Q) => Told,
): AsyncGenerator<BulkAnswer<Told>> {
  const answers = new Outgoing<BulkAnswer<Told>>(2 * MAX_OPEN);
  const room = new Room(MAX_OPEN);
  const ended = () => {
    answers.end(endOf(engine));
    room.open();
  };
  engine.signal.addEventListener('abort', ended, { once: true });
  const reading = readAll(requests, { engine, apply, answers, room });
  reading.catch((error: unknown) => answers.end(error instanceof Error ? error : new Error(String(error))));
  try {
    for await (const answer of answers) {
      room.leave();
      yield answer;
    }
  } finally {
    engine.signal.removeEventListener('abort', ended);
    answers.end();
    room.open();
  }
}

async function readAll<Q extends { sequence: number }, Told>(
  requests: AsyncIterable<Q>,
  to: { engine: Engine; apply: (request: Q) => Told; answers: Outgoing<BulkAnswer<Told>>; room: Room },
): Promise<void> {
  const { engine, apply, answers, room } = to;
  let answered: Promise<unknown> = Promise.resolve();
  for await (const request of requests) {
    if (engine.signal.aborted) throw endOf(engine);
    // Nobody hears the answers any more, and nothing bounds what is under way.
    if (room.isOpen) return;
    let answer = outcomeOf(request, apply);
    while (answer === 'later') {
      await engine.durable();
      if (room.isOpen) return;
      answer = outcomeOf(request, apply);
    }
    const kept = answer;
    const durable = engine.durable();
    answered = Promise.all([answered, durable]).then(() => answers.push(kept));
    // Its failure is the engine's end, which everybody here hears of.
    answered.catch(() => undefined);
    await room.enter();
  }
  await answered;
  answers.end();
}

/** Refusals of an engine that waits for its database; what it waits for becomes durable, or it ends. */
const LATER: ReadonlySet<string> = new Set<ErrorReason>(['DATABASE_UNAVAILABLE', 'TOO_MANY_REQUESTS']);

function outcomeOf<Q extends { sequence: number }, Told>(
  request: Q,
  apply: (request: Q) => Told,
): BulkAnswer<Told> | 'later' {
  const { sequence } = request;
  try {
    return { sequence, code: 0, message: '', told: apply(request) };
  } catch (error) {
    if (!(error instanceof RiveraError)) throw error;
    if (LATER.has(error.reason)) return 'later';
    return { sequence, code: error.code, message: error.message, told: undefined };
  }
}

function endOf(engine: Engine): RiveraError {
  return new RiveraError('OUTCOME_UNKNOWN', 'the outcome of what was not answered is unknown', {
    cause: engine.signal.reason,
  });
}

/** Lets so many in at a time; once opened, everybody. */
class Room {
  private inside = 0;
  private opened = false;
  private wake: (() => void) | undefined;

  constructor(private readonly capacity: number) {}

  async enter(): Promise<void> {
    this.inside++;
    while (this.inside >= this.capacity && !this.opened) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  leave(): void {
    this.inside--;
    this.wake?.();
  }

  get isOpen(): boolean {
    return this.opened;
  }

  open(): void {
    this.opened = true;
    this.wake?.();
  }
}
