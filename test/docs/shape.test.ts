import { describe, expect, it } from 'vitest';
import { blocksOf, codeSpansOf, exchangesOf, fileLinksOf, wordOf } from './markdown.js';
import { addressesIn, differenceOf, shapeOf } from './shape.js';

const PAGE = [
  'See [this](a/b.md#c) and `rivera up`.',
  '```yaml file=x.yaml',
  'a: `b`',
  '```',
  '```',
  '[no](link)',
  '```',
  '',
];

describe('a page', () => {
  it('has blocks with a language, words and a place', () => {
    const [yaml, plain] = blocksOf(PAGE.join('\n'));
    expect(yaml).toEqual({ language: 'yaml', words: ['file=x.yaml'], text: 'a: `b`', line: 2 });
    expect(yaml && wordOf(yaml, 'file')).toBe('x.yaml');
    expect(plain).toMatchObject({ language: '', words: [], text: '[no](link)' });
    expect(() => blocksOf('a\n```sh\nb')).toThrow('line 2 is not closed');
  });

  it('has links and code outside of its blocks', () => {
    expect(fileLinksOf(PAGE.join('\n'))).toEqual(['a/b.md']);
    expect(codeSpansOf(PAGE.join('\n'))).toEqual(['rivera up']);
  });

  it('has transcripts of commands and what they print', () => {
    expect(exchangesOf('$ a\n1\n2\n$ b')).toEqual([
      { command: 'a', shown: ['1', '2'] },
      { command: 'b', shown: [] },
    ]);
    expect(() => exchangesOf('1\n$ a')).toThrow('begins with a command');
  });
});

describe('the shape of output', () => {
  it.each([
    ['#0   running   12s     cell-1   127.0.0.1:62800', '#0 running 3m cell-1 127.0.0.1:10001'],
    ['created:   2026-11-20T23:53:39.83+0000 (57s ago)', 'created:  2025-01-01T00:00:00.00+0000 (1ms ago)'],
    ['[APP/0]  OUT instance 7975a61d-637b-4981-915b-c2a9', '[APP/0] OUT instance bc63ad06-0c98-43a4-96a0-9463'],
    ['task-2hxdgtkq   cli   24105 MiB', 'task-3c4xvd2w cli 4096 MiB'],
  ])('is the same of: %s', (one, other) => {
    expect(shapeOf(one)).toBe(shapeOf(other));
  });

  it.each([
    ['web   3/3', 'web   2/3'],
    ['#0 running 1s', '#0 claimed 1s'],
    ['exited with status 3', 'exited with status 4'],
  ])('is not the same of %s and %s', (one, other) => {
    expect(shapeOf(one)).not.toBe(shapeOf(other));
  });

  it('has to be the same line by line on stdout', () => {
    expect(differenceOf(['a', 'b'], { stdout: ['a', 'b'], stderr: [] })).toBeUndefined();
    expect(differenceOf(['a'], { stdout: ['a', 'b'], stderr: [] })).toMatch(/the page shows\n {2}a\n/);
    expect(differenceOf(['a', 'b'], { stdout: ['a'], stderr: [] })).toMatch(/the run wrote\n {2}a\n/);
  });

  it('may leave lines out where the page says so', () => {
    expect(differenceOf(['a', '…', 'd'], { stdout: ['a', 'b', 'c', 'd'], stderr: [] })).toBeUndefined();
    expect(differenceOf(['a', '…', 'd'], { stdout: ['a', 'b'], stderr: [] })).toBeDefined();
  });

  it('may show what came on stderr, and nothing that did not come', () => {
    expect(differenceOf(['note', 'a'], { stdout: ['a'], stderr: ['progress', 'note'] })).toBeUndefined();
    expect(differenceOf(['other', 'a'], { stdout: ['a'], stderr: ['note'] })).toBeDefined();
  });

  it('tells which addresses stand for which', () => {
    const written = ['web/1 at 127.0.0.1:7001', 'web/0 at 127.0.0.1:7000'];
    expect(addressesIn(['web/0  at 127.0.0.1:1'], written)).toEqual([['127.0.0.1:1', '127.0.0.1:7000']]);
  });
});
