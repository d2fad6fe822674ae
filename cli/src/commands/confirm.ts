import { createInterface } from 'node:readline/promises';
import { usageError } from '../failures.js';
import type { Session } from '../session.js';

/**
 * Asks somebody at a terminal; everything but "y" and "yes" is a no.
 * @throws CliError (usage) when there is nobody to ask: what can do harm is not done by accident in a script
 */
export async function confirmed({ io, out, signal }: Session, question: string): Promise<boolean> {
  if (!out.watched || io.stdin.isTTY !== true) {
    throw usageError('there is nobody to ask whether this is meant', 'To do it without being asked:  --yes');
  }
  const lines = createInterface({ input: io.stdin });
  try {
    await out.note(`${question} [y/N] `);
    return /^y(es)?$/i.test(await firstLine(lines, signal));
  } finally {
    lines.close();
  }
}

/** Empty when the input ends without one. */
function firstLine(lines: ReturnType<typeof createInterface>, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    lines.once('line', (line) => resolve(line.trim()));
    lines.once('close', () => resolve(''));
  });
}
