import { getEventListeners } from 'node:events';
import type { AccessServiceClient } from '@rivera/gen/rivera/access/v1/access_service';
import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import type { LogEntry, LogFilter } from '@rivera/gen/rivera/rep/v1/container';
import type { ReadLogsRequest, ReadLogsResponse } from '@rivera/gen/rivera/rep/v1/rep_service';
import { RiveraError } from '@rivera/kit/errors';
import { serverStream } from '@rivera/kit/grpc/dial';
import type { CallContext } from '@rivera/kit/grpc/host';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { filter, line, texts } from './logs/lines-for-tests.js';
import { LogReader } from './logs.js';
import { AccessBench, aborted, Happening } from './testing.js';

const LIMITS = { gatherMs: 100, lookMs: 50, silenceMs: 300, behind: { lines: 200, bytes: 1_000_000 } };

let bench: AccessBench;
let client: AccessServiceClient;
beforeEach(async () => {
  bench = await AccessBench.start(LIMITS);
  client = await bench.client();
});
afterEach(() => bench.close());

const read = (of: Partial<LogFilter> = {}, by = client) => serverStream(() => by.readLogs({ filter: filter(of) }));

async function all(of: Partial<LogFilter> = {}) {
  const parts = [];
  for await (const part of read(of)) parts.push(part);
  return { ...parts[0], parts, entries: parts.flatMap(({ entries }) => entries) };
}

/** Reads until that many lines have come. */
async function lines(reading: AsyncGenerator<{ entries: LogEntry[] }>, count: number): Promise<string[]> {
  const entries: LogEntry[] = [];
  while (entries.length < count) {
    const next = await reading.next();
    if (next.done) throw new Error(`the log ended after ${texts(entries)}`);
    entries.push(...next.value.entries);
  }
  return texts(entries);
}

/** A cell's log that the test writes into, with the behaviour of a real cell's. */
class CellLog {
  readonly filters: LogFilter[] = [];
  kept: LogEntry[] = [];
  open = 0;
  /** Followers are told nothing new, and their streams end. */
  private turn = new AbortController();

  constructor(kept: LogEntry[] = []) {
    this.kept = kept;
  }

  write(...entries: LogEntry[]): void {
    this.kept.push(...entries);
    this.wake();
  }

  /** Ends the streams that are open, in an orderly way. */
  endStreams(): void {
    this.turn.abort('end');
    this.turn = new AbortController();
  }

  readonly readLogs = async function* (
    this: CellLog,
    { filter }: ReadLogsRequest,
    { signal }: CallContext,
  ): AsyncGenerator<ReadLogsResponse> {
    if (filter === undefined) throw new RiveraError('INVALID_REQUEST', 'a filter is needed');
    this.filters.push(filter);
    this.open++;
    try {
      const sinceMs = filter.since?.getTime() ?? 0;
      let next = filter.tail > 0 ? Math.max(0, this.kept.length - filter.tail) : 0;
      for (;;) {
        const turn = this.turn.signal;
        const entries = this.kept.slice(next).filter(({ time }) => (time?.getTime() ?? 0) >= sinceMs);
        next = this.kept.length;
        if (entries.length > 0) yield { entries, dropped: 0 };
        if (!filter.follow || signal.aborted) return;
        if (next === this.kept.length) await Promise.race([aborted(signal), aborted(turn)]);
        if (turn.reason === 'end') return;
      }
    } finally {
      this.open--;
    }
  }.bind(this);

  private wake(): void {
    this.turn.abort('more');
    this.turn = new AbortController();
  }
}

describe('what cells keep', () => {
  it('is one log in order of time', async () => {
    await bench.cell('c1', new CellLog([line('a', 1, 1), line('c', 3, 2)]));
    await bench.cell('c2', new CellLog([line('b', 2, 1), line('d', 4, 2)]));
    expect(texts((await all()).entries)).toEqual(['a', 'b', 'c', 'd']);
    expect(texts((await all({ tail: 3 })).entries)).toEqual(['b', 'c', 'd']);
  });

  it('comes in messages that fit', async () => {
    const kept = Array.from({ length: 3_000 }, (_, at) => line(`${at}`.padEnd(3_000), at, at));
    await bench.cell('c1', {
      async *readLogs() {
        for (let at = 0; at < kept.length; at += 256) yield { entries: kept.slice(at, at + 256), dropped: 0 };
      },
    });
    const { parts, entries } = await all();
    expect(texts(entries)).toEqual(texts(kept));
    expect(parts.length).toBeGreaterThan(8);
  });

  it('is said to be incomplete where it is', async () => {
    await bench.cell('c1', {
      async *readLogs() {
        yield { entries: [line('a', 1, 1)], dropped: 4 };
        yield { entries: [], dropped: 3 };
      },
    });
    const { cable } = await bench.cell('dead', {});
    cable.cut();
    bench.cells.set('odd', { address: '', state: CellState.PRESENT });
    bench.cells.set('missing', { address: '127.0.0.1:1', state: CellState.MISSING });
    await bench.cell('silent', {
      async *readLogs(_request, { signal }) {
        await aborted(signal);
        yield { entries: [], dropped: 0 };
      },
    });
    const { entries, dropped, unreachableCells } = await all();
    expect(texts(entries)).toEqual(['a']);
    expect(dropped).toBe(7);
    expect(unreachableCells).toEqual({
      dead: expect.stringContaining('can not be reached'),
      odd: expect.stringContaining('not an address'),
      silent: 'cell "silent" did not answer within 300 ms',
    });
  });

  it('is nothing, in one message, where there are no cells', async () => {
    expect((await all()).parts).toMatchObject([{ entries: [], dropped: 0, unreachableCells: {} }]);
  });

  it('can not be had without the BBS, nor without a name', async () => {
    await expect(all({ processGuid: '' })).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
    bench.bbsFails = new RiveraError('PERMISSION_DENIED', 'not you');
    await expect(all()).rejects.toMatchObject({ reason: 'PERMISSION_DENIED', message: 'not you' });
  });
});

describe('a follower', () => {
  it('gets what is kept in order of time, and then what is written', async () => {
    const one = new CellLog([line('a', 1, 1), line('c', 3, 2)]);
    const two = new CellLog([line('b', 2, 1)]);
    await bench.cell('c1', one);
    await bench.cell('c2', two);
    const reading = read({ follow: true });
    expect(await lines(reading, 3)).toEqual(['a', 'b', 'c']);
    one.write(line('d', 4, 3));
    expect(await lines(reading, 1)).toEqual(['d']);
    two.write(line('e', 5, 2));
    expect(await lines(reading, 1)).toEqual(['e']);
    await reading.return();
  });

  it('is told at once what is missing already', async () => {
    await bench.cell('c1', {
      async *readLogs(_request, { signal }) {
        yield { entries: [line('a', 1, 1)], dropped: 5 };
        await aborted(signal);
      },
    });
    bench.cells.set('odd', { address: '', state: CellState.PRESENT });
    const reading = read({ follow: true });
    expect((await reading.next()).value).toMatchObject({
      dropped: 5,
      unreachableCells: { odd: expect.stringContaining('not an address') },
    });
    await reading.return();
  });

  it('that reads slowly is told how much it missed, and goes on', async () => {
    // Far more than what is on the way can hold.
    const TOTAL = 30_000;
    const begin = new Happening();
    const written = new Happening();
    await bench.cell('c1', {
      async *readLogs(_request, { signal }) {
        await begin.promise;
        for (let sent = 0; sent < TOTAL; sent += 100) {
          const entries = Array.from({ length: 100 }, (_, at) => line('x'.repeat(500), sent + at, sent + at + 1));
          yield { entries, dropped: 0 };
        }
        written.happens();
        await aborted(signal);
      },
    });
    const reading = read({ follow: true });
    await reading.next();
    begin.happens();
    await written.promise;
    let got = 0;
    let dropped = 0;
    for (let last = 0; last < TOTAL; ) {
      const next = await reading.next();
      if (next.done) throw new Error(`the log ended after line ${last}`);
      dropped += next.value.dropped;
      for (const { sequence } of next.value.entries) {
        got++;
        // What is said to be missing is missing here, and nothing else.
        expect(sequence).toBe(got + dropped);
        last = sequence;
      }
    }
    expect(dropped).toBeGreaterThan(0);
    expect(got + dropped).toBe(TOTAL);
    await reading.return();
  });

  it('gets each line once from a cell whose stream ends in good order', async () => {
    const log = new CellLog([line('a', 5, 1)]);
    await bench.cell('c1', log);
    const reading = read({ follow: true, tail: 9 });
    expect(await lines(reading, 1)).toEqual(['a']);
    log.endStreams();
    log.kept.push(line('b', 5, 2));
    expect(await lines(reading, 1)).toEqual(['b']);
    log.endStreams();
    log.kept.push(line('c', 5, 3), line('d', 6, 4));
    expect(await lines(reading, 2)).toEqual(['c', 'd']);
    expect(log.filters.map(({ tail }) => tail)).toEqual([9, 0, 0]);
    await reading.return();
  });

  it('gets each line once over a connection that breaks and an agent that starts anew', async () => {
    const log = new CellLog([line('a', 1, 81), line('b', 2, 82)]);
    const { cable } = await bench.cell('c1', log);
    const reading = read({ follow: true });
    expect(await lines(reading, 2)).toEqual(['a', 'b']);
    log.kept = [line('a', 1, 1), line('b', 2, 2), line('c', 2, 3)];
    cable.break('reset');
    const told = (await reading.next()).value;
    expect(told?.unreachableCells).toEqual({ c1: expect.stringContaining('can not be reached') });
    expect(await lines(reading, 1)).toEqual(['c']);
    await reading.return();
  });

  it('is told once of a cell that stays away, and gets its lines when it is back elsewhere', async () => {
    const log = new CellLog([line('a', 1, 1)]);
    const { cable } = await bench.cell('c1', log);
    const reading = read({ follow: true });
    expect(await lines(reading, 1)).toEqual(['a']);
    cable.cut();
    expect((await reading.next()).value?.unreachableCells).toHaveProperty('c1');
    log.kept.push(line('b', 2, 2));
    await bench.cell('c1', log);
    const gaps: object[] = [];
    for (let next = await reading.next(); !next.done; next = await reading.next()) {
      if (next.value.entries.length > 0) {
        expect(texts(next.value.entries)).toEqual(['b']);
        break;
      }
      gaps.push(next.value.unreachableCells);
    }
    // The words may change with the address, but they are not repeated.
    expect(new Set(gaps.map((gap) => JSON.stringify(gap))).size).toBe(gaps.length);
    await reading.return();
  });

  it('gets every line of a cell that comes later, whatever its tail was', async () => {
    await bench.cell('c1', new CellLog([line('a', 1, 1), line('b', 2, 2)]));
    const reading = read({ follow: true, tail: 1 });
    expect(await lines(reading, 1)).toEqual(['b']);
    const written = ['x', 'y', 'z'].map((text, at) => line(text, 0, at + 1, { time: new Date() }));
    await bench.cell('c2', new CellLog([line('long ago', 0, 1, { time: new Date(1) }), ...written]));
    expect(await lines(reading, 3)).toEqual(['x', 'y', 'z']);
    await reading.return();
  });

  it('outlives a BBS that fails for a while, but does not begin without one', async () => {
    const log = new CellLog([line('a', 1, 1)]);
    await bench.cell('c1', log);
    const reading = read({ follow: true });
    expect(await lines(reading, 1)).toEqual(['a']);
    bench.bbsFails = new RiveraError('PERMISSION_DENIED', 'not now');
    await expect(read({ follow: true }).next()).rejects.toMatchObject({ reason: 'PERMISSION_DENIED' });
    log.write(line('b', 2, 2));
    expect(await lines(reading, 1)).toEqual(['b']);
    bench.bbsFails = undefined;
    await bench.cell('c2', new CellLog([line('c', 3, 1)]));
    expect(await lines(reading, 1)).toEqual(['c']);
    await reading.return();
  });

  it('that goes away leaves no stream at any cell', async () => {
    const logs = [new CellLog([line('a', 1, 1)]), new CellLog([line('b', 2, 1)])];
    for (const [at, log] of logs.entries()) await bench.cell(`c${at}`, log);
    const { client: distant, cable } = await bench.distantClient();
    const reading = read({ follow: true }, distant);
    await lines(reading, 2);
    expect(logs.map(({ open }) => open)).toEqual([1, 1]);
    cable.cut('reset');
    await expect.poll(() => logs.map(({ open }) => open)).toEqual([0, 0]);
    await reading.return();
  });

  it('is told to come back when the server closes', async () => {
    const log = new CellLog([line('a', 1, 1)]);
    await bench.cell('c1', log);
    const reading = read({ follow: true });
    await lines(reading, 1);
    const ended = expect(reading.next()).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' });
    await bench.host.close(2_000);
    await ended;
    await expect.poll(() => log.open).toBe(0);
  });
});

describe('the reader of logs', () => {
  it('leaves no listener behind, whether it is stopped or left, early or late', async () => {
    const log = new CellLog([line('a', 1, 1)]);
    await bench.cell('c1', log);
    const reader = new LogReader(bench.directory, bench.clients, { limits: LIMITS });
    const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

    const left = new AbortController();
    for await (const _ of reader.read(filter({ follow: true }), left.signal)) break;
    expect(listeners(left.signal)).toBe(0);

    const early = new AbortController();
    const reading = reader.read(filter({ follow: true }), early.signal).next();
    early.abort();
    expect((await reading).done).toBe(true);
    expect(listeners(early.signal)).toBe(0);

    const late = new AbortController();
    const following = reader.read(filter({ follow: true }), late.signal);
    await following.next();
    const next = following.next();
    late.abort();
    expect((await next).done).toBe(true);
    expect(listeners(late.signal)).toBe(0);

    const history = new AbortController();
    for await (const _ of reader.read(filter(), history.signal));
    expect(listeners(history.signal)).toBe(0);
    await expect.poll(() => log.open).toBe(0);
  });

  it('bounds the streams to cells, and says which cells it left out', async () => {
    const log = new CellLog([line('a', 1, 1)]);
    await bench.cell('c1', log);
    const reader = new LogReader(bench.directory, bench.clients, { limits: { ...LIMITS, streams: 1 } });
    const stop = new AbortController();
    const first = reader.read(filter({ follow: true }), stop.signal);
    expect(await lines(first, 1)).toEqual(['a']);
    const second = reader.read(filter({ follow: true }), stop.signal);
    expect((await second.next()).value?.unreachableCells).toEqual({ c1: expect.stringContaining('too many') });
    await first.return(undefined);
    expect(await lines(second, 1)).toEqual(['a']);
    await second.return(undefined);
  });

  it('bounds how many gather at once, and refuses those that can not even wait', async () => {
    await bench.cell('c1', new CellLog([line('a', 1, 1)]));
    const reader = new LogReader(bench.directory, bench.clients, { limits: { ...LIMITS, gathering: 1, waiting: 1 } });
    const { signal } = new AbortController();
    const first = reader.read(filter(), signal);
    await first.next();
    const second = reader.read(filter(), signal);
    const waits = second.next();
    await expect(reader.read(filter(), signal).next()).rejects.toMatchObject({ reason: 'TOO_MANY_REQUESTS' });
    await first.return(undefined);
    expect(texts((await waits).value?.entries ?? [])).toEqual(['a']);
    await second.return(undefined);
  });
});
