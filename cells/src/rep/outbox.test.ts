import { describe, expect, it } from 'vitest';
import { MAX_BATCH, Outbox, type TransitionContent } from './outbox.js';

const removed = (instanceGuid: string): TransitionContent => ({
  $case: 'lrpRemoved',
  value: { key: { processGuid: 'p', index: 0, domain: 'd' }, instanceGuid },
});
const sequences = (outbox: Outbox<string>) => outbox.take().map((transition) => transition.sequence);

describe('the outbox', () => {
  it('numbers transitions from 1 without gaps and hands them out in order, once', () => {
    const outbox = new Outbox<string>();
    outbox.add(removed('a'), 'a');
    outbox.add(removed('b'), 'b');
    expect(sequences(outbox)).toEqual([1, 2]);
    expect(sequences(outbox)).toEqual([]);
    outbox.add(removed('c'), 'c');
    expect(sequences(outbox)).toEqual([3]);
  });

  it('sends what was not acknowledged again after a reconnect, with the same numbers', () => {
    const outbox = new Outbox<string>();
    for (const guid of ['a', 'b', 'c']) outbox.add(removed(guid), guid);
    outbox.take();
    expect(outbox.settle(2)?.subject).toBe('b');
    outbox.rewind();
    expect([...outbox.sent()]).toEqual([]);
    expect(sequences(outbox)).toEqual([1, 3]);
    expect([...outbox.sent()].map((entry) => entry.subject)).toEqual(['a', 'c']);
  });

  it('tells what was unanswered when the stream opened from what came later', () => {
    const outbox = new Outbox<string>();
    outbox.rewind();
    outbox.add(removed('a'), 'a');
    expect(outbox.hasEarlier).toBe(false);
    outbox.take();
    outbox.add(removed('b'), 'b');
    outbox.rewind();
    outbox.add(removed('c'), 'c');
    expect(outbox.hasEarlier).toBe(true);
    expect(sequences(outbox)).toEqual([1, 2, 3]);
    expect(outbox.hasEarlier).toBe(false);
  });

  it('takes an answer once', () => {
    const outbox = new Outbox<string>();
    outbox.add(removed('a'), 'a');
    outbox.take();
    expect(outbox.settle(1)?.subject).toBe('a');
    expect(outbox.settle(1)).toBeUndefined();
    expect(outbox.size).toBe(0);
  });

  it('keeps batches within the bounds of the protocol', () => {
    const outbox = new Outbox<string>();
    for (let n = 0; n < 40_000; n++) outbox.add(removed('a'), 'a');
    const sizes: number[] = [];
    let last = 0;
    for (let batch = outbox.take(); batch.length > 0; batch = outbox.take()) {
      expect(batch[0]?.sequence).toBe(last + 1);
      last += batch.length;
      sizes.push(batch.length);
    }
    expect(last).toBe(40_000);
    expect(Math.max(...sizes)).toBe(MAX_BATCH);
  });

  it('cuts a batch where results make it large', () => {
    const outbox = new Outbox<string>();
    const result = 'x'.repeat(51_200);
    for (let n = 0; n < 100; n++) {
      const value = { taskGuid: 't', executionGuid: 'e', failed: false, failureReason: '', result };
      outbox.add({ $case: 'taskCompleted', value }, 't');
    }
    expect(outbox.take().length).toBeLessThan(25);
  });
});
