import { describe, expect, it } from 'vitest';
import { count, cut, nearest, oneLine } from './text.js';

describe('text for a terminal', () => {
  it('keeps foreign text on one line and without control sequences', () => {
    expect(oneLine('a\nb\tc')).toBe('a b c');
    expect(oneLine('red \u001b[31malert')).toBe('red \ufffd[31malert');
    expect(oneLine('Größe 日本')).toBe('Größe 日本');
  });

  it('cuts long text visibly', () => {
    expect(cut('abcdef', 6)).toBe('abcdef');
    expect(cut('abcdefg', 6)).toBe('abcde…');
  });

  it('counts in words', () => {
    expect(count(1, 'task')).toBe('1 task');
    expect(count(0, 'task')).toBe('0 tasks');
    expect(count(2, 'entry', 'entries')).toBe('2 entries');
  });

  it('finds the name that was meant', () => {
    expect(nearest('helo', ['hello', 'help-desk', 'other'])).toBe('hello');
    expect(nearest('ehllo', ['hello'])).toBe('hello');
    expect(nearest('hello', ['world', 'cells'])).toBeUndefined();
    expect(nearest('', ['a'])).toBe('a');
  });
});
