import { describe, expect, it } from 'vitest';
import { classifyDatabaseError } from './errors.js';

const failure = (errno: number, message: string) => Object.assign(new Error(message), { errno, code: 'ER_SOMETHING' });

describe('what a node of a cluster answers', () => {
  it.each([
    ['another node was first', 1213, 'Deadlock found when trying to get lock; try restarting transaction', 'conflict'],
    ['it has lost the majority', 1047, 'WSREP has not yet prepared node for application use', 'transient'],
    [
      'it lost the majority in the middle of a commit',
      1180,
      "Got error 6 'No such device or address' during COMMIT",
      'transient',
    ],
    ['the statement was in the way of another node', 1317, 'Query execution was interrupted', 'transient'],
    ['it is read-only', 1290, 'running with the --read-only option so it cannot execute this statement', 'transient'],
    ['it is read-only (MySQL)', 1836, 'Running in read-only mode', 'transient'],
    ['it is shutting down', 1053, 'Server shutdown in progress', 'transient'],
    ['it has all connections that it may have', 1040, 'Too many connections', 'transient'],
  ])('when %s', (_, errno, message, expected) => {
    expect(classifyDatabaseError(failure(errno, message))).toBe(expected);
  });
});
