import { expect, it } from 'vitest';
import { LogParser } from './k8s-log.js';

const text = [
  '2026-11-20T22:54:25.666896535+00:00 stdout F one  two',
  '2026-11-20T22:54:25.700000000+00:00 stderr P half',
  '2026-11-20T22:54:26.000000000+00:00 stderr F ',
  'something that nobody wrote',
  '',
].join('\n');

it('tells time, stream, completeness and data of each line', () => {
  const entries = new LogParser().push(Buffer.from(text));
  expect(entries.map((entry) => ({ ...entry, data: entry.data.toString() }))).toEqual([
    { timeMs: Date.UTC(2026, 10, 20, 22, 54, 25, 666), stream: 'stdout', partial: false, data: 'one  two' },
    { timeMs: Date.UTC(2026, 10, 20, 22, 54, 25, 700), stream: 'stderr', partial: true, data: 'half' },
    { timeMs: Date.UTC(2026, 10, 20, 22, 54, 26), stream: 'stderr', partial: false, data: '' },
  ]);
});

it('does not care where chunks are cut', () => {
  const whole = new LogParser().push(Buffer.from(text));
  const parser = new LogParser();
  const pieces = [...Buffer.from(text)].flatMap((byte) => parser.push(Buffer.from([byte])));
  expect(pieces).toEqual(whole);
});
