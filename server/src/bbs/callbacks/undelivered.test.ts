import { expect, it } from 'vitest';
import { whyNotDelivered } from './undelivered.js';

const why = (error: unknown) => whyNotDelivered(error, { timeoutMs: 10_000 });

it('tells a time-out from other ends, however deep it is', () => {
  const timeout = new DOMException('The operation was aborted due to timeout', 'TimeoutError');
  expect(why(timeout)).toBe('no answer within 10000 ms');
  expect(why(new Error('The operation was aborted', { cause: timeout }))).toBe('no answer within 10000 ms');
  expect(why(new Error('socket hang up'))).toBe('socket hang up');
});

it('tells of the first address of a name that has several', () => {
  const refused = ['::1', '127.0.0.1'].map((address) => new Error(`connect ECONNREFUSED ${address}:80`));
  expect(why(new AggregateError(refused))).toBe('connect ECONNREFUSED ::1:80');
  expect(why(new AggregateError([]))).toBe('AggregateError');
});
