import { LogFilter } from '@rivera/gen/rivera/rep/v1/container';
import { ManualClock } from '@rivera/kit/clock';
import { describe, expect, it } from 'vitest';
import { lineOf } from '../testing.js';
import { ContainerLog } from './container-log.js';
import { LineSplitter } from './line-splitter.js';
import { LogLimiter } from './log-limiter.js';
import { InMemoryLogStore, type LogStoreBounds } from './memory-log-store.js';

function split(pieces: string[], maxBytes?: number): string[] {
  const messages: string[] = [];
  const splitter = new LineSplitter((message) => messages.push(message.toString()), maxBytes);
  for (const piece of pieces) splitter.push(Buffer.from(piece), 0);
  splitter.end();
  return messages;
}

describe('splitting', () => {
  it('cuts at line ends and drops empty lines', () => {
    expect(split(['a\nb\r\n\n\rc'])).toEqual(['a', 'b', 'c']);
  });

  it('puts lines together that come in pieces', () => {
    expect(split(['he', 'll', 'o\nwor', 'ld'])).toEqual(['hello', 'world']);
  });

  it('cuts long lines where no character is cut in two', () => {
    expect(split(['ää€€b'], 5)).toEqual(['ää', '€', '€b']);
    const [first, second, ...rest] = split([`${'x'.repeat(61_439)}€${'y'.repeat(38_000)}`]);
    expect([first?.length, second?.length, rest]).toEqual([61_439, 38_001, []]);
  });

  it('gives a message the time of its first byte', () => {
    const times: number[] = [];
    const splitter = new LineSplitter((_message, timeMs) => times.push(timeMs));
    splitter.push(Buffer.from('a'), 1);
    splitter.push(Buffer.from('b\nc'), 2);
    splitter.end();
    expect(times).toEqual([1, 2]);
  });
});

describe('limits', () => {
  const admit = (limiter: LogLimiter, bytes: number, timeMs: number): string => {
    const { pass, notice } = limiter.admit(bytes, timeMs);
    return pass ? 'passes' : (notice ?? 'dropped');
  };

  it('one notice, then silence for a second', () => {
    const limiter = new LogLimiter({ bytesPerSecond: 100, linesPerSecond: 0 });
    expect(admit(limiter, 100, 0)).toBe('passes');
    expect(admit(limiter, 1, 0)).toBe('app instance exceeded log rate limit (100 bytes/sec)');
    expect(admit(limiter, 1, 500)).toBe('dropped');
    expect(admit(limiter, 1, 999)).toBe('dropped');
    expect(admit(limiter, 100, 1000)).toBe('passes');
    expect(admit(limiter, 101, 9000)).toContain('exceeded');
  });

  it('0 lets nothing pass, -1 everything', () => {
    expect(admit(new LogLimiter({ bytesPerSecond: 0, linesPerSecond: 0 }), 1, 0)).toBe('dropped');
    expect(admit(new LogLimiter({ bytesPerSecond: -1, linesPerSecond: 0 }), 1e9, 0)).toBe('passes');
  });

  it('the operator limits lines', () => {
    const limiter = new LogLimiter({ bytesPerSecond: -1, linesPerSecond: 2 });
    expect([0, 0, 0].map((time) => admit(limiter, 1, time))).toEqual([
      'passes',
      'passes',
      'app instance exceeded log rate limit (2 log-lines/sec) set by platform operator',
    ]);
  });
});

const clock = new ManualClock(1000);
const identity = { logGuid: 'log', processGuid: 'app', taskGuid: '', index: 2 };

function open(bounds: Partial<LogStoreBounds> = {}) {
  const store = new InMemoryLogStore({ cellId: 'cell', clock, bounds });
  const log = (change: Partial<typeof identity> = {}, bytesPerSecond = -1): ContainerLog =>
    new ContainerLog({
      containerGuid: 'c',
      identity: { ...identity, ...change },
      defaultSource: '',
      limits: { bytesPerSecond, linesPerSecond: 0 },
      tags: { team: 'red' },
      store,
      clock,
    });
  const read = async (filter: Partial<LogFilter> = {}): Promise<string[]> => {
    const lines: string[] = [];
    const batches = store.read(LogFilter.fromPartial({ processGuid: 'app', ...filter }), new AbortController().signal);
    for await (const { entries } of batches) lines.push(...entries.map(lineOf));
    return lines;
  };
  return { store, log, read };
}

describe('a container log', () => {
  it('says whose line it is', async () => {
    const { store, log } = open();
    log().sink('WEB').line('stderr', 'hello');
    const { value } = await store
      .read(LogFilter.fromPartial({ processGuid: 'app' }), new AbortController().signal)
      .next();
    expect(value.entries).toMatchObject([
      {
        logGuid: 'log',
        processGuid: 'app',
        index: 2,
        containerGuid: 'c',
        cellId: 'cell',
        source: 'WEB',
        stream: 2,
        sequence: 1,
        time: new Date(1000),
      },
    ]);
    expect(value.entries[0].tags).toEqual({ source_id: 'log', instance_id: '2', team: 'red' });
  });

  it('is silent without a log guid, and lets the platform speak whatever the limit', async () => {
    const { log, read } = open();
    log({ logGuid: '' }).platform('unheard');
    const limited = log({}, 0);
    limited.sink('').line('stdout', 'dropped');
    limited.platform('Cell x creating container for instance y');
    expect(await read()).toEqual(['CELL out Cell x creating container for instance y']);
  });
});

describe('the log store', () => {
  it('keeps the latest lines, by number and by size', async () => {
    const { log, read } = open({ lines: 3, bytes: 10 });
    for (const text of ['a', 'b', 'c', 'd']) log().sink('').line('stdout', text);
    expect(await read()).toEqual(['LOG out b', 'LOG out c', 'LOG out d']);
    log().sink('').line('stdout', '123456789');
    expect(await read()).toEqual(['LOG out d', 'LOG out 123456789']);
  });

  it('filters by index, source, time and number', async () => {
    const { log, read } = open();
    log({ index: 0 }).sink('A').line('stdout', 'zero');
    await clock.advance(1000);
    log({ index: 1 }).sink('A').line('stdout', 'one');
    log({ index: 1 }).sink('B').line('stdout', 'two');
    log({ processGuid: 'other' }).sink('B').line('stdout', 'not me');
    expect(await read({ index: 1 })).toEqual(['A out one', 'B out two']);
    expect(await read({ source: 'A' })).toEqual(['A out zero', 'A out one']);
    expect(await read({ since: new Date(clock.now()) })).toEqual(['A out one', 'B out two']);
    expect(await read({ tail: 1 })).toEqual(['B out two']);
    expect(await read({ processGuid: '' })).toHaveLength(4);
  });

  it('forgets an LRP 10 minutes after its last container has gone', async () => {
    const { store, log, read } = open();
    const first = store.retain(identity);
    const second = store.retain(identity);
    log().sink('').line('stdout', 'hello');
    first();
    await clock.advance(3_600_000);
    expect(await read()).toHaveLength(1);
    second();
    await clock.advance(599_000);
    expect(await read()).toHaveLength(1);
    await clock.advance(61_000);
    expect(await read()).toEqual([]);
  });

  it('makes room for new sources where nobody is at home', async () => {
    const { store, log, read } = open({ sources: 2 });
    store.retain(identity);
    log().sink('').line('stdout', 'kept');
    log({ processGuid: 'idle' }).sink('').line('stdout', 'gone');
    log({ processGuid: 'new' }).sink('').line('stdout', 'new');
    expect(await read()).toHaveLength(1);
    expect(await read({ processGuid: 'idle' })).toEqual([]);
    expect(await read({ processGuid: 'new' })).toHaveLength(1);
  });

  it('follows without a gap, and ends with the signal', async () => {
    const { store, log } = open();
    log().sink('').line('stdout', 'before');
    const controller = new AbortController();
    const lines: string[] = [];
    const reading = (async () => {
      for await (const { entries } of store.read(
        LogFilter.fromPartial({ processGuid: 'app', follow: true }),
        controller.signal,
      )) {
        lines.push(...entries.map(lineOf));
        if (lines.length === 1) log().sink('').line('stdout', 'meanwhile');
        if (lines.length === 2) setImmediate(() => log().sink('').line('stdout', 'after'));
        if (lines.length === 3) controller.abort();
      }
    })();
    await reading;
    expect(lines).toEqual(['LOG out before', 'LOG out meanwhile', 'LOG out after']);
  });

  it('tells a slow reader how much it missed', async () => {
    const { store, log } = open({ followerLines: 2 });
    const controller = new AbortController();
    const reader = store.read(LogFilter.fromPartial({ processGuid: 'app', follow: true }), controller.signal);
    const first = reader.next();
    log().sink('').line('stdout', '0');
    expect((await first).value.entries.map(lineOf)).toEqual(['LOG out 0']);
    for (let line = 1; line <= 5; line++) log().sink('').line('stdout', String(line));
    const { value } = await reader.next();
    expect(value.dropped).toBe(3);
    expect(value.entries.map(lineOf)).toEqual(['LOG out 4', 'LOG out 5']);
    controller.abort();
    expect((await reader.next()).done).toBe(true);
  });

  it('bounds its readers', async () => {
    const { store } = open({ followers: 1 });
    const controller = new AbortController();
    const filter = LogFilter.fromPartial({ processGuid: 'app', follow: true });
    const first = store.read(filter, controller.signal).next();
    await expect(store.read(filter, controller.signal).next()).rejects.toThrow('too many readers');
    controller.abort();
    await first;
    const again = store.read(filter, AbortSignal.abort()).next();
    expect((await again).done).toBe(true);
  });
});
