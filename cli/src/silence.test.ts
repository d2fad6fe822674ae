import { describe, expect, it } from 'vitest';
import { isSilence, withAddresses } from './silence.js';

function failure(codeName: string, message: string, reason = ''): Error {
  return Object.assign(new Error(message), { codeName, reason, violations: [] });
}
const said = (error: Error) => (withAddresses(error, ['a:1', 'b:2']) as Error).message;

describe('a silence', () => {
  it.each([
    [
      'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:9. Resolution note: ',
      'nothing answers at a:1, b:2',
    ],
    [
      'No connection established. Last error: Error: self-signed certificate in certificate chain. Resolution note: ',
      'no connection to a:1, b:2: self-signed certificate in certificate chain',
    ],
    ['Connection dropped', 'no connection to a:1, b:2: Connection dropped'],
  ])('says who is meant and what happened: %s', (message, words) => {
    expect(said(failure('UNAVAILABLE', message))).toBe(words);
  });

  it('says that time is over', () => {
    expect(said(failure('DEADLINE_EXCEEDED', 'Deadline exceeded after 1.4s,LB pick'))).toBe(
      'a:1, b:2 did not answer in time',
    );
  });

  it('is no answer of a server', () => {
    const answer = failure('UNAVAILABLE', 'the database is away', 'DATABASE_UNAVAILABLE');
    expect(isSilence(answer)).toBe(false);
    expect(withAddresses(answer, ['a:1'])).toBe(answer);
  });
});
