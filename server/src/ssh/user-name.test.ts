import { describe, expect, it } from 'vitest';
import { parseUserName } from './user-name.js';

const APP = '7b0f9fba-6f2a-4a3c-9a64-1e8d7b8f0c11';

describe('a user name', () => {
  it.each([
    ['diego:my_app-1/0', { form: 'diego', processGuid: 'my_app-1', index: 0 }],
    [`cf:${APP}/12`, { form: 'cf', processGuid: APP, index: 12 }],
    ['hello/3', { form: 'rivera', processGuid: 'hello', index: 3 }],
  ])('%s is understood', (text, meant) => {
    expect(parseUserName(text)).toEqual(meant);
  });

  it.each([
    '',
    'hello',
    'hello/',
    '/0',
    'hello/x',
    'hello/-1',
    'hello/123456',
    'diego:',
    'diego:hello',
    'diego:a b/0',
    'xdiego:hello/0',
    'diego:hello/0x',
    'diego:hello/0\n',
    'diego:hello/0/1',
    ' diego:hello/0',
    'cf:hello/0',
    `cf:${APP}`,
    `cf:x${APP}/0`,
    'other:hello/0',
    `${'a'.repeat(256)}/0`,
  ])('%j is none', (text) => {
    expect(parseUserName(text)).toBeUndefined();
  });
});
