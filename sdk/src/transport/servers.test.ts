import { describe, expect, it } from 'vitest';
import { NotFoundError, UnavailableError } from '../errors.js';
import { Servers } from './servers.js';

const lost = new UnavailableError({ message: 'connection lost' });
const standby = (leader_address: string) =>
  new UnavailableError({ message: 'standby', reason: 'NOT_LEADER', metadata: { leader_address } });

describe('the server in use', () => {
  it('is the first of the list, then the next after each failure, in a circle', () => {
    const servers = new Servers(['a', 'b', 'c']);
    const seen = [0, 1, 2, 3].map(() => {
      const current = servers.current();
      servers.failed(current, lost);
      return current;
    });
    expect(seen).toEqual(['a', 'b', 'c', 'a']);
  });

  it('is the leader that a standby names, listed or not', () => {
    const servers = new Servers(['a', 'b']);
    expect(servers.failed('a', standby('z'))).toBe(true);
    expect(servers.current()).toBe('z');
    expect(servers.count).toBe(3);
  });

  it('goes on along the list when the named leader fails', () => {
    const servers = new Servers(['a', 'b']);
    servers.failed('a', standby('z'));
    servers.failed('z', lost);
    expect(servers.current()).toBe('b');
  });

  it('moves once when many calls fail at one address together', () => {
    const servers = new Servers(['a', 'b', 'c']);
    for (let i = 0; i < 10; i++) servers.failed('a', lost);
    expect(servers.current()).toBe('b');
  });

  it('stays when a standby knows no leader and there is no other server', () => {
    const servers = new Servers(['a']);
    expect(servers.failed('a', standby(''))).toBe(false);
    expect(servers.current()).toBe('a');
  });

  it('stays when the failure says nothing about the server', () => {
    const servers = new Servers(['a', 'b']);
    servers.failed('a', new NotFoundError({ message: 'x', reason: 'TASK_NOT_FOUND' }));
    servers.failed('a', new UnavailableError({ message: 'x', reason: 'CELL_UNREACHABLE' }));
    expect(servers.current()).toBe('a');
  });
});
