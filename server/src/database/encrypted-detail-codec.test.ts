import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { bytesOf, testCodec } from './codec-testing.js';
import {
  type DetailCodec,
  placeOf,
  placeText,
  plainDetailCodec,
  storedUnder,
  UndecodableError,
} from './detail-codec.js';

const place = placeOf('tasks', ['task-1']);

describe('encrypted content', () => {
  it('comes back as it was, and shows nothing of itself', () => {
    const codec = testCodec(['a']);
    for (const text of ['{"password":"hunter2"}', 'ünïcødé 漢字 🚀 \0', 'x'.repeat(100_000)]) {
      const stored = bytesOf(codec.writeText(text, place));
      expect(codec.readText(stored, place)).toBe(text);
      expect(stored.includes(text.slice(0, 8))).toBe(false);
    }
    const payload = randomBytes(70_000);
    expect(Buffer.from(codec.readBytes(bytesOf(codec.writeBytes(payload, place)), place)).equals(payload)).toBe(true);
  });

  it('is never stored twice in the same form, by one process or by two', () => {
    const [one, two] = [testCodec(['a']), testCodec(['a'])];
    const stored = Array.from({ length: 3_000 }, (_, position) =>
      (position % 2 === 0 ? one : two).writeText('same', place),
    );
    expect(new Set(stored).size).toBe(3_000);
    for (const each of stored) expect(one.readText(bytesOf(each), place)).toBe('same');
  });

  it('names its label in the clear', () => {
    const label = '2026-11 ü'.padEnd(100, '!');
    const stored = bytesOf(testCodec([label]).writeText('x', place));
    expect(storedUnder(stored.subarray(0, 129), stored.length)).toEqual({ label });
  });

  it('can be read at no other place', () => {
    const codec = testCodec(['a']);
    const stored = bytesOf(codec.writeText('secret', placeOf('actual_lrps', ['p', 1, ''])));
    for (const other of [
      placeOf('tasks', ['p', 1, '']),
      placeOf('actual_lrps', ['q', 1, '']),
      placeOf('actual_lrps', ['p', 2, '']),
      placeOf('actual_lrps', ['p', 1, 'g']),
      placeOf('actual_lrps', ['p', 1]),
    ]) {
      expect(() => codec.readText(stored, other)).toThrow(UndecodableError);
    }
  });

  /** What reading gives, or that it refuses. */
  function outcome(codec: DetailCodec, stored: Buffer): string {
    try {
      return codec.readText(stored, place);
    } catch (error) {
      if (error instanceof UndecodableError) return 'refused';
      throw error;
    }
  }

  it('is refused when any bit of it was changed, or its end is missing', () => {
    const codec = testCodec(['a', 'b']);
    const stored = bytesOf(codec.writeBytes(Buffer.from('secret'), place));
    for (let position = 0; position < stored.length; position += 1) {
      const changed = Buffer.from(stored);
      changed[position] = (changed[position] ?? 0) ^ 0x10;
      expect(outcome(codec, changed), `byte ${position}`).toBe('refused');
      expect(outcome(codec, stored.subarray(0, position)), `${position} bytes`).toBe('refused');
    }
  });

  it('as a document, is never read as anything else, whatever was changed', () => {
    const codec = testCodec(['a', 'b']);
    const stored = bytesOf(codec.writeText('secret', place));
    // The last characters of base64 hold bits that mean nothing: with those changed, the content is still what was written.
    const meaningless = 3;
    for (let position = 0; position < stored.length; position += 1) {
      for (const bit of [0x01, 0x10, 0x80]) {
        const changed = Buffer.from(stored);
        changed[position] = (changed[position] ?? 0) ^ bit;
        const allowed = position < stored.length - meaningless ? ['refused'] : ['refused', 'secret'];
        expect(allowed, `byte ${position}`).toContain(outcome(codec, changed));
      }
    }
    for (let length = 0; length < stored.length - meaningless; length += 1) {
      expect(outcome(codec, stored.subarray(0, length)), `${length} bytes`).toBe('refused');
    }
  });

  it('is the same whether it was stored as text or as bytes, under labels of any length', () => {
    for (const length of [1, 39, 92, 127]) {
      const codec = testCodec([`'${'\\'.repeat(length)}`.slice(0, length) as string]);
      const [text, bytes] = [codec.writeText('ü', place), codec.writeBytes(Buffer.from('ü'), place)].map(bytesOf);
      if (text === undefined || bytes === undefined) throw new Error('there are two');
      for (const stored of [text, bytes]) {
        expect(codec.readText(stored, place)).toBe('ü');
        expect(storedUnder(stored, stored.length)).toEqual({ label: codec.activeLabel });
      }
    }
  });

  it('is refused under another key, of another label or of the same', () => {
    const stored = bytesOf(testCodec(['a']).writeText('secret', place));
    expect(() => testCodec(['b']).readText(stored, place)).toThrow('no key is configured');
    expect(() => testCodec(['a'], { a: 'another secret' }).readText(stored, place)).toThrow(
      'another key of this label',
    );
    expect(() => plainDetailCodec.readText(stored, place)).toThrow('no key is configured');
  });

  it('is read under every key that is configured, and written under the active one', () => {
    const old = bytesOf(testCodec(['a']).writeText('old', place));
    const codec = testCodec(['b', 'a']);
    expect(codec.readText(old, place)).toBe('old');
    const young = bytesOf(codec.writeText('young', place));
    expect(storedUnder(young, young.length)).toEqual({ label: 'b' });
  });

  it('is told from plain content, which stays readable', () => {
    const codec = testCodec(['a']);
    const plain = bytesOf(plainDetailCodec.writeBytes(Buffer.from('earlier'), place));
    expect(codec.readText(plain, place)).toBe('earlier');
    expect(storedUnder(plain, plain.length)).toEqual({ label: '' });
    expect(storedUnder(Buffer.from([127, 0]), 2)).toBe('unknown');
    expect(() => codec.readText(Buffer.from([127, 0]), place)).toThrow("format 127, which this program can't read");
    expect(() => codec.readText(Buffer.alloc(0), place)).toThrow(UndecodableError);
  });

  it('costs nothing when there is none', () => {
    const codec = testCodec(['a']);
    const stored = bytesOf(codec.writeText('', place));
    expect(stored).toEqual(Buffer.from([1]));
    expect(storedUnder(stored, stored.length)).toBe('empty');
    expect(codec.readBytes(stored, place)).toEqual(new Uint8Array());
  });
});

describe('a key check', () => {
  it('tells whether a label still stands for the same key', () => {
    const check = testCodec(['a']).keyCheck('a');
    expect(testCodec(['b', 'a']).holdsKey('a', check)).toBe(true);
    expect(testCodec(['a'], { a: 'another secret' }).holdsKey('a', check)).toBe(false);
    expect(testCodec(['b', 'a']).holdsKey('b', check)).toBe(false);
    expect(testCodec(['a']).holdsKey('a', Buffer.alloc(0))).toBe(false);
  });
});

describe('a place', () => {
  it('is told from every other one, whatever is in its key', () => {
    const places = [
      placeOf('t', ['a', 'b']),
      placeOf('t', ['a\n1:b']),
      placeOf('t', ['a', '']),
      placeOf('t', ['a']),
      placeOf('t', ['', 'a']),
      placeOf('t', ['1:a']),
    ].map(placeText);
    expect(new Set(places).size).toBe(places.length);
  });
});

describe('labels and keys', () => {
  it('have bounds', () => {
    expect(() => testCodec([''])).toThrow('1 to 127');
    expect(() => testCodec(['ü'.repeat(64)])).toThrow('128 bytes');
    expect(() => testCodec(['l'.repeat(127)])).not.toThrow();
  });
});
