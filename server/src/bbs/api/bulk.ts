import { RiveraError } from '@rivera/kit/errors';
import { Outgoing } from '../../stream/outgoing.js';
import type { Engine } from '../engine/engine.js';

const MAX_OPEN = 10_000;

/**
 * Applies a stream of commands without waiting between them: each is answered, in order, once it is durable, and a whole stream
 * shares few transactions. What may be under way is bounded; the client is slowed down by not being read.
 */
export async function* bulk<Q extends { sequence: number }>(
  requests: AsyncIterable<Q>,
  engine: Engine,
  apply: (request: Q) => void,
): AsyncGenerator<{ sequence: number; code: number; message: string }> {
  const answers = new Outgoing<{ sequence: number; code: number; message: string }>(2 * MAX_OPEN);
  let open = 0;
  let roomAgain: (() => void) | undefined;
  const answered = () => {
    open--;
    roomAgain?.();
  };
  const readAll = async () => {
    let previous: Promise<void> = Promise.resolve();
    for await (const request of requests) {
      const answer = outcomeOf(request, apply);
      open++;
      const durable = engine.durable();
      previous = previous.then(() => durable).then(() => void answers.push(answer));
      previous.catch(() => {});
      while (open >= MAX_OPEN) {
        await new Promise<void>((resolve) => {
          roomAgain = resolve;
        });
      }
    }
    await previous;
  };
  readAll().then(
    () => answers.end(),
    (error: unknown) => answers.end(error instanceof Error ? error : new Error(String(error))),
  );
  for await (const answer of answers) {
    answered();
    yield answer;
  }
}

function outcomeOf<Q extends { sequence: number }>(request: Q, apply: (request: Q) => void) {
  try {
    apply(request);
    return { sequence: request.sequence, code: 0, message: '' };
  } catch (error) {
    if (!(error instanceof RiveraError)) throw error;
    return { sequence: request.sequence, code: error.code, message: error.message };
  }
}
