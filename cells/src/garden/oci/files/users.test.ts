import { expect, it } from 'vitest';
import { findUser } from './users.js';

const passwd = 'root:x:0:0:root:/root:/bin/sh\nvcap:x:1000:1000::/home/vcap:/bin/bash\nbroken line\n';
const group = 'root:x:0:\naudio:x:29:vcap,other\nvcap:x:1000:\n';
const find = (user: string) => findUser({ user, passwd, group });

it('finds a user by name, with home, shell and groups', () => {
  expect(find('vcap')).toEqual({
    name: 'vcap',
    uid: 1000,
    gid: 1000,
    additionalGids: [29],
    home: '/home/vcap',
    shell: '/bin/bash',
  });
});

it('takes uid and gid as they are', () => {
  expect(find('1000:5')).toMatchObject({ name: 'vcap', uid: 1000, gid: 5, home: '/home/vcap', additionalGids: [] });
  expect(find('7777:8888')).toMatchObject({ uid: 7777, gid: 8888, home: '/' });
});

it('takes a group by name or number, as images write it', () => {
  expect(find('vcap:audio')).toMatchObject({ uid: 1000, gid: 29, additionalGids: [] });
  expect(find('vcap:7')).toMatchObject({ uid: 1000, gid: 7 });
  expect(find('1000:audio')).toMatchObject({ name: 'vcap', gid: 29 });
  expect(() => find('vcap:nobody')).toThrow('unable to find group nobody');
  expect(() => find('vcap:')).toThrow('unable to find group');
});

it('knows root also where nothing is', () => {
  const nowhere = { passwd: undefined, group: undefined };
  expect(findUser({ user: 'root', ...nowhere })).toMatchObject({ uid: 0, gid: 0 });
  expect(findUser({ user: '', ...nowhere })).toMatchObject({ uid: 0 });
  expect(() => findUser({ user: 'vcap', ...nowhere })).toThrow('unable to find user vcap');
});

it('refuses names that only look like something', () => {
  expect(() => find('nobody')).toThrow('unable to find user nobody');
  expect(() => find('99999999999')).toThrow();
  expect(() => find('9999999999')).toThrow('out of range');
});
