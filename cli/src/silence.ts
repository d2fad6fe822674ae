import { CliError, EXIT } from './failures.js';
import { oneLine } from './terminal/text.js';

/** The SDK's error of a call that nobody answered; told by its shape, as in describe.ts. */
export interface Silence extends Error {
  readonly codeName: string;
  readonly reason: string;
}

/** Whether nobody answered at all: an answer of a server has a reason. */
export function isSilence(error: unknown): error is Silence {
  if (!(error instanceof Error) || !('codeName' in error) || !('reason' in error)) return false;
  return error.reason === '' && (error.codeName === 'UNAVAILABLE' || error.codeName === 'DEADLINE_EXCEEDED');
}

/** Says of a silence whose it is and of what kind, in place of the transport's own words. Any other error stays as it is. */
export function withAddresses(error: unknown, servers: readonly string[]): unknown {
  if (!isSilence(error)) return error;
  return new CliError(EXIT.local, wordsFor(error, servers.join(', ')), SILENCE_HELP, { cause: error });
}

/** What is said of a silence. @param who the servers, for people */
export function wordsFor({ codeName, message }: Silence, who: string): string {
  if (codeName === 'DEADLINE_EXCEEDED') return `${who} did not answer in time`;
  const last = /Last error: (?:Error: )?(.*?)\.?\s*(?:Resolution note:.*)?$/s.exec(message)?.[1];
  const words = oneLine(last ?? message);
  return NOBODY.test(words) ? `nothing answers at ${who}` : `no connection to ${who}: ${words}`;
}

/** The ways of the network to say that nobody is there. */
const NOBODY = /ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT/;

/** What helps. */
export const SILENCE_HELP: readonly string[] = ['Is it running?  rivera up', 'Find out more:  rivera doctor'];
