import { describe, expect, it } from 'vitest';
import { renderPairs, renderTable } from './table.js';

describe('a table', () => {
  it('has a lower-case header and columns three blanks apart', () => {
    expect(
      renderTable(
        ['Name', { title: 'Instances', align: 'right' }, 'State'],
        [
          ['hello', '3/3', 'running'],
          ['a-longer-name', '10/12', ''],
        ],
      ),
    ).toBe(
      [
        'name            instances   state\n',
        'hello                 3/3   running\n',
        'a-longer-name       10/12\n',
      ].join(''),
    );
  });

  it('does not count colours as width, and wide characters double', () => {
    const lines = renderTable(
      ['a', 'b'],
      [
        ['\u001b[32mok\u001b[39m', '1'],
        ['日本', '2'],
      ],
    ).split('\n');
    expect(lines[1]).toBe('\u001b[32mok\u001b[39m     1');
    expect(lines[2]).toBe('日本   2');
  });
});

describe('pairs', () => {
  it('align their values and leave out what is not there', () => {
    expect(
      renderPairs([
        ['name', 'hello'],
        ['crash reason', undefined],
        ['instances', '3/3'],
      ]),
    ).toBe('name:        hello\ninstances:   3/3\n');
  });
});
