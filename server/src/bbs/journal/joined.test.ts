import { expect, it } from 'vitest';
import { joined } from './joined.js';

it.each([
  [[], []],
  [['a'], ['a']],
  [
    ['begin', 'fence', 'rows', 'commit'],
    ['begin;fence;rows', 'commit'],
  ],
  [
    ['begin', 'a text that is larger than the target', 'commit'],
    ['begin', 'a text that is larger than the target', 'commit'],
  ],
])('%j becomes %j', (statements, texts) => {
  expect([...joined(statements, 16)]).toEqual(texts);
});
