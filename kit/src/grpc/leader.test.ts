import { expect, test } from 'vitest';
import { RiveraError } from '../errors.js';
import { LeaderFinder } from './leader.js';

const notLeader = (leader?: string) =>
  new RiveraError('NOT_LEADER', 'standing by', leader === undefined ? {} : { metadata: { leader_address: leader } });
const unreachable = new RiveraError('UNAVAILABLE', 'connection refused');

test('starts with the first address and stays while it answers', () => {
  const finder = new LeaderFinder(['a', 'b', 'c']);
  finder.failed(new RiveraError('TASK_NOT_FOUND', 'an answer of the leader'));
  finder.failed(new TypeError('a bug of the caller'));
  expect(finder.current()).toBe('a');
});

test('goes round when a server does not answer', () => {
  const finder = new LeaderFinder(['a', 'b', 'c']);
  const visited = Array.from({ length: 4 }, () => {
    finder.failed(unreachable);
    return finder.current();
  });
  expect(visited).toEqual(['b', 'c', 'a', 'b']);
});

test('follows the name that a standby gives', () => {
  const finder = new LeaderFinder(['a', 'b', 'c']);
  finder.failed(notLeader('c'));
  expect(finder.current()).toBe('c');
  finder.failed(unreachable);
  expect(finder.current()).toBe('a');
});

test('follows a name that is on no list, and comes back from there', () => {
  const finder = new LeaderFinder(['a', 'b']);
  finder.failed(notLeader('elsewhere'));
  expect(finder.current()).toBe('elsewhere');
  finder.failed(unreachable);
  expect(finder.current()).toBe('b');
});

test('a standby that knows no leader, or names itself, is left', () => {
  const finder = new LeaderFinder(['a', 'b']);
  finder.failed(notLeader());
  expect(finder.current()).toBe('b');
  finder.failed(notLeader('b'));
  expect(finder.current()).toBe('a');
});

test('of many calls that fail at one address, one moves on', () => {
  const finder = new LeaderFinder(['a', 'b', 'c']);
  for (let i = 0; i < 5; i++) finder.failed(unreachable, 'a');
  expect(finder.current()).toBe('b');
});

test('with one address there is nowhere to go', () => {
  const finder = new LeaderFinder(['a']);
  finder.failed(unreachable);
  expect(finder.current()).toBe('a');
});
