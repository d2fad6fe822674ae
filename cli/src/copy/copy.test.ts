import { describe, expect, it } from 'vitest';
import { landing, parsePlace } from './places.js';
import { placeOf } from './transfer.js';

describe('rivera cp', () => {
  it('tells places in containers from places here', () => {
    expect(parsePlace('hello/2:/srv/')).toEqual({ kind: 'container', processGuid: 'hello', index: 2, path: '/srv/' });
    expect(parsePlace('hello:/a:b')).toEqual({ kind: 'container', processGuid: 'hello', index: 0, path: '/a:b' });
    for (const here of ['file', './hello:/x', '/abs/hello:/x', '.'])
      expect(parsePlace(here)).toEqual({ kind: 'here', path: here });
    expect(() => parsePlace('hello:relative')).toThrow('not an absolute path');
    expect(() => parsePlace('')).toThrow('empty');
  });

  it.each([
    ['/srv/', 'site', { folder: '/srv', name: 'site' }],
    ['/srv/www', 'site', { folder: '/srv', name: 'www' }],
    ['/', 'site', { folder: '/', name: 'site' }],
    ['/www', 'site', { folder: '/', name: 'www' }],
  ])('to %s', (path, name, where) => {
    expect(landing(path, name)).toEqual(where);
  });

  it('lets no name of a container lead elsewhere', () => {
    expect(placeOf('/here/top', 'log/a/b')).toBe('/here/top/a/b');
    expect(placeOf('/here/top', './log')).toBe('/here/top');
    expect(placeOf('/here/top', '/log/a')).toBe('/here/top/a');
    expect(() => placeOf('/here/top', 'log/../../x')).toThrow("called 'log/../../x'");
  });
});
