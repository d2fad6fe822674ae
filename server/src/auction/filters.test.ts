import { describe, expect, it } from 'vitest';
import { demandOf, mismatch, offerOf, parseRootFs } from './filters.js';
import { bid, needs } from './testing/samples.js';

const judge = (cell: Parameters<typeof bid>[1], work: Parameters<typeof needs>[0]) =>
  mismatch(offerOf(bid('c', cell)), demandOf(needs(work)));

describe('root filesystems', () => {
  const providers = [
    { name: 'preloaded', properties: ['x', 'y'] },
    { name: 'preloaded+layer', properties: ['y'] },
    { name: 'docker', properties: [] },
  ];
  it.each([
    ['preloaded:x', undefined],
    ['preloaded:z', 'ROOT_FS'],
    ['PRELOADED:x', undefined],
    ['preloaded:x?layer=l#f', undefined],
    ['preloaded://x', 'ROOT_FS'],
    ['preloaded+layer:y?layer=https://l&layer_path=/', undefined],
    ['preloaded+layer:x', 'ROOT_FS'],
    ['docker:///library/busybox#latest', undefined],
    ['docker:///library/%zz', 'ROOT_FS'],
    ['oci:x', 'ROOT_FS'],
    ['x', 'ROOT_FS'],
    ['', 'ROOT_FS'],
    [':x', 'ROOT_FS'],
    ['preloaded:x\u0007', 'ROOT_FS'],
  ])('%j on a cell with preloaded x and y, a layered y and any docker image: %s', (rootFs, expected) => {
    expect(judge({ rootFsProviders: providers }, { rootFs })).toBe(expected);
  });

  it('take the opaque part without query and fragment', () => {
    expect(parseRootFs('preloaded+layer:x?layer=l')).toEqual({ scheme: 'preloaded+layer', opaque: 'x' });
  });
});

describe('volume drivers', () => {
  it('must all be there; doubles count once', () => {
    expect(judge({ volumeDrivers: ['a'] }, { volumeDrivers: ['a', 'a'] })).toBeUndefined();
    expect(judge({ volumeDrivers: ['a'] }, { volumeDrivers: ['a', 'b'] })).toBe('VOLUME_DRIVERS');
  });
});

describe('placement tags: required ⊆ wanted ⊆ required ∪ optional', () => {
  it.each([
    [[], [], [], true],
    [[], [], ['a'], false],
    [['a'], [], [], false],
    [['a'], [], ['a'], true],
    [['a'], ['b'], ['a'], true],
    [['a'], ['b'], ['a', 'b'], true],
    [['a'], ['b'], ['b'], false],
    [['a', 'b'], [], ['a'], false],
    [[], ['b'], [], true],
    [[], ['b'], ['b'], true],
  ])('required %j, optional %j, wanted %j: %s', (placementTags, optionalPlacementTags, wanted, matches) => {
    const failed = judge({ placementTags, optionalPlacementTags }, { placementTags: wanted });
    expect(failed).toBe(matches ? undefined : 'PLACEMENT_TAGS');
  });
});

describe('the order of tests', () => {
  it('is root filesystem, drivers, tags', () => {
    const wrong = { rootFs: 'none:x', volumeDrivers: ['d'], placementTags: ['t'] };
    expect(judge({}, wrong)).toBe('ROOT_FS');
    expect(judge({}, { ...wrong, rootFs: 'preloaded:base' })).toBe('VOLUME_DRIVERS');
    expect(judge({ volumeDrivers: ['d'] }, { ...wrong, rootFs: 'preloaded:base' })).toBe('PLACEMENT_TAGS');
  });
});

describe('keys', () => {
  it('are equal for offers that differ in order and doubles alone', () => {
    const a = bid('a', { volumeDrivers: ['x', 'y'], placementTags: ['t', 'u'] });
    const b = bid('b', { volumeDrivers: ['y', 'x', 'x'], placementTags: ['u', 't'] });
    expect(offerOf(a).key).toBe(offerOf(b).key);
    expect(offerOf(a).key).not.toBe(offerOf(bid('c')).key);
  });
});
