import { CellHello } from '@rivera/gen/rivera/bbs/v1/session_service';
import { describe, expect, it } from 'vitest';
import { presence } from '../../core/testing.js';
import { validateHello } from './cell.js';
import { refusedFields } from './testing.js';

const fields = (said: object = {}, incarnation = 'i1'): string[] =>
  refusedFields(() =>
    validateHello(CellHello.fromPartial({ incarnation, presence: { ...presence('c1'), ...said } } as never)),
  );
const long = 'x'.repeat(256);

describe('a hello (spec bbs §2.9)', () => {
  it.each(['10.0.0.1:1801', 'cell-1.example.com:1801', '[::1]:1801'])('is accepted from %s', (repAddress) => {
    expect(fields({ repAddress })).toEqual([]);
  });

  it.each<[string, object, string[]]>([
    ['no name', { cellId: '' }, ['presence.cell_id']],
    ['a name that could be a path', { cellId: '../c1' }, ['presence.cell_id']],
    ['no address', { repAddress: '' }, ['presence.rep_address']],
    ['no port', { repAddress: '10.0.0.1' }, ['presence.rep_address']],
    ['a URL', { repAddress: 'https://10.0.0.1:1' }, ['presence.rep_address']],
    ['somebody else’s name in the address', { repAddress: 'me@10.0.0.1:1' }, ['presence.rep_address']],
    ['no memory', { capacity: { memoryMb: 0, diskMb: 0, containers: 1 } }, ['presence.capacity.memory_mb']],
    ['a negative disk', { capacity: { memoryMb: 1, diskMb: -1, containers: 1 } }, ['presence.capacity.disk_mb']],
    [
      'no room for containers',
      { capacity: { memoryMb: 1, diskMb: 0, containers: 0 } },
      ['presence.capacity.containers'],
    ],
    ['no capacity', { capacity: undefined }, ['presence.capacity.memory_mb', 'presence.capacity.containers']],
    ['an endless zone', { zone: long }, ['presence.zone']],
    ['an endless host', { hostAddress: long }, ['presence.host_address']],
    ['an endless tag', { placementTags: ['x', long] }, ['presence.placement_tags[1]']],
    ['an endless optional tag', { optionalPlacementTags: [long] }, ['presence.optional_placement_tags[0]']],
    ['an endless driver', { volumeDrivers: [long] }, ['presence.volume_drivers[0]']],
    [
      'an endless provider',
      { rootFsProviders: [{ name: long, properties: [long] }] },
      ['presence.root_fs_providers[0].name', 'presence.root_fs_providers[0].properties[0]'],
    ],
    ['an endless annotation', { annotations: { a: long } }, ['presence.annotations[1]']],
    ['NUL', { zone: 'z\0', placementTags: ['\0'] }, ['presence.zone', 'presence.placement_tags[0]']],
  ])('with %s is refused', (_, said, expected) => {
    expect(fields(said)).toEqual(expected);
  });

  it('says who speaks, and as which incarnation', () => {
    expect(fields({}, '')).toEqual(['incarnation']);
    expect(fields({}, long)).toEqual(['incarnation']);
    expect(refusedFields(() => validateHello(CellHello.fromPartial({ incarnation: 'i' })))).toEqual(['presence']);
  });

  it('is not read further than 1,000 entries of a list', () => {
    const texts = Array.from({ length: 50_000 }, () => long);
    const refused = fields({ placementTags: texts });
    expect(refused[0]).toBe('presence.placement_tags');
    expect(refused).toHaveLength(100);
    const providers = Array.from({ length: 1_001 }, () => ({ name: 'x', properties: [] }));
    expect(fields({ rootFsProviders: providers })).toEqual(['presence.root_fs_providers']);
  });
});
