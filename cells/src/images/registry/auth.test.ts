import { expect, it } from 'vitest';
import { parseChallenge } from './auth.js';

it('a challenge says what is to be shown, and where to get it', () => {
  expect(parseChallenge('Basic realm="x"')).toEqual({ scheme: 'basic' });
  expect(parseChallenge('Bearer realm="https://auth/token",service=registry,scope="repository:a:pull"')).toEqual({
    scheme: 'bearer',
    realm: 'https://auth/token',
    service: 'registry',
    scope: 'repository:a:pull',
  });
  for (const nothing of [null, '', 'Negotiate', 'Bearer service="no realm"'])
    expect(parseChallenge(nothing)).toBeUndefined();
});

it('one that is longer than any is not read: that would keep the agent from its work', () => {
  expect(parseChallenge(`Bearer realm="https://auth",${'a'.repeat(5_000)}`)).toBeUndefined();
});
