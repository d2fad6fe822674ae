import { ContainerSpec, Sidecar } from '@rivera/gen/rivera/recipe/v1/container';
import { describe, expect, it } from 'vitest';
import { checkContainer, checkSidecars } from './container.js';
import { fieldsOf, refusedFields } from './testing.js';
import { Violations } from './violations.js';

const spec = (value: object = {}): ContainerSpec =>
  ContainerSpec.fromPartial({ rootFs: 'preloaded:busybox', ...value } as never);
const fields = (value: object = {}): string[] => fieldsOf((violations) => checkContainer(violations, 'c', spec(value)));

const layer = (value: object = {}) => ({
  url: 'https://x',
  destinationPath: '/x',
  layerType: 1,
  mediaType: 1,
  ...value,
});
const mount = (value: object = {}) => ({ driver: 'nfs', containerDir: '/data', mode: 'rw', ...value });
const file = (path: string, bytes = 1) => ({ path, content: new Uint8Array(bytes) });
const dependency = (value: object = {}) => ({ from: 'https://x/y', to: '/x', ...value });

describe('a container (spec bbs §2.2, §8)', () => {
  it('is needed', () => {
    expect(fieldsOf((violations) => checkContainer(violations, 'c', undefined))).toEqual(['c']);
  });

  it.each<[string, object]>([
    ['no limits', { memoryMb: 0, diskMb: 0, maxPids: 0, cpuWeight: 0 }],
    ['another root filesystem', { rootFs: 'docker:///library/debian#12' }],
    ['no logs', { logRateLimit: { bytesPerSecond: 0 } }],
    ['all logs', { logRateLimit: { bytesPerSecond: -1 } }],
    [
      'tags',
      { metricTags: { a: { value: { $case: 'static', value: 'x' } }, b: { value: { $case: 'dynamic', value: 2 } } } },
    ],
    ['a dependency', { cachedDependencies: [dependency()] }],
    ['a shared layer', { imageLayers: [layer()] }],
    [
      'an exclusive layer',
      {
        legacyDownloadUser: 'vcap',
        imageLayers: [layer({ layerType: 2, digestAlgorithm: 1, digestValue: 'abc' })],
      },
    ],
    ['credentials', { imageUsername: 'me', imagePassword: 'secret' }],
    [
      'volumes',
      {
        volumeMounts: [
          mount({ mode: 'r' }),
          mount({ device: { $case: 'shared', value: { volumeId: 'v' } } }),
          mount({ device: { $case: 'dedicated', value: { mounterId: 'm' } } }),
        ],
      },
    ],
    ['files of a mebibyte', { volumeMountedFiles: [file('a/b', 1_048_575), file('c')] }],
  ])('with %s is accepted', (_, value) => {
    expect(fields(value)).toEqual([]);
  });

  it.each<[string, object, string[]]>([
    ['no root filesystem', { rootFs: '' }, ['c.root_fs']],
    ['a root filesystem without a scheme', { rootFs: 'busybox' }, ['c.root_fs']],
    ['a layer on top of nothing but its name', { rootFs: 'preloaded+layer:busybox' }, ['c.root_fs']],
    ...[
      `layer=file:///x&layer_path=/app&layer_digest=${'a'.repeat(64)}`,
      `layer=https://x/y&layer_path=app&layer_digest=${'a'.repeat(64)}`,
      'layer=https://x/y&layer_path=/app&layer_digest=abc',
    ].map((query): [string, object, string[]] => [
      `a layer with ${query}`,
      { rootFs: `preloaded+layer:busybox?${query}` },
      ['c.root_fs'],
    ]),
    ['a root filesystem with spaces', { rootFs: 'preloaded:a b' }, ['c.root_fs']],
    ['an endless root filesystem', { rootFs: `preloaded:${'x'.repeat(1_015)}` }, ['c.root_fs']],
    ['negative limits', { memoryMb: -1, diskMb: -1, maxPids: -1 }, ['c.memory_mb', 'c.disk_mb', 'c.max_pids']],
    ['too much weight', { cpuWeight: 101 }, ['c.cpu_weight']],
    ['an endless log guid', { logGuid: 'x'.repeat(256) }, ['c.log_guid']],
    ['fewer logs than none', { logRateLimit: { bytesPerSecond: -2 } }, ['c.log_rate_limit.bytes_per_second']],
    ['a blank variable', { environmentVariables: [{ name: '', value: '' }] }, ['c.environment_variables[0].name']],
    ['an empty tag', { metricTags: { a: {} } }, ['c.metric_tags["a"]']],
    ['a tag of nothing', { metricTags: { a: { value: { $case: 'static', value: '' } } } }, ['c.metric_tags["a"]']],
    [
      'a tag of an unknown kind',
      { metricTags: { a: { value: { $case: 'dynamic', value: 99 } } } },
      ['c.metric_tags["a"]'],
    ],
    ['an unspecified tag', { metricTags: { a: { value: { $case: 'dynamic', value: 0 } } } }, ['c.metric_tags["a"]']],
    [
      'a rule of the wall',
      { egressRules: [{ protocol: 'all', destinations: [] }] },
      ['c.egress_rules[0].destinations'],
    ],
    [
      'a dependency of nothing',
      { cachedDependencies: [dependency({ from: '', to: '' })] },
      ['c.cached_dependencies[0].from', 'c.cached_dependencies[0].to'],
    ],
    [
      'a dependency with half a checksum',
      { cachedDependencies: [dependency({ checksumValue: 'x' })] },
      ['c.cached_dependencies[0].checksum_algorithm'],
    ],
    [
      'a layer of nothing',
      { imageLayers: [layer({ url: '', destinationPath: '' })] },
      ['c.image_layers[0].url', 'c.image_layers[0].destination_path'],
    ],
    [
      'a layer of unknown kinds',
      { imageLayers: [layer({ layerType: 99, mediaType: 99 })] },
      ['c.image_layers[0].layer_type', 'c.image_layers[0].media_type'],
    ],
    [
      'a layer of an unknown digest',
      { imageLayers: [layer({ digestAlgorithm: 99, digestValue: 'x' })] },
      ['c.image_layers[0].digest_algorithm'],
    ],
    [
      'a layer with half a digest',
      { imageLayers: [layer({ digestValue: 'x' }), layer({ digestAlgorithm: 1 })] },
      ['c.image_layers[0].digest_algorithm', 'c.image_layers[1].digest_value'],
    ],
    [
      'an exclusive layer without digest and user',
      { imageLayers: [layer({ layerType: 2 })] },
      ['c.image_layers[0].digest_algorithm', 'c.image_layers[0].digest_value', 'c.image_layers[0].layer_type'],
    ],
    ['half of the credentials', { imageUsername: 'me' }, ['c.image_password']],
    ['the other half', { imagePassword: 'secret' }, ['c.image_username']],
    ['a volume of nobody', { volumeMounts: [mount({ driver: '' })] }, ['c.volume_mounts[0].driver']],
    ['a volume of an unknown mode', { volumeMounts: [mount({ mode: 'x' })] }, ['c.volume_mounts[0].mode']],
    [
      'a volume without a device’s name',
      {
        volumeMounts: [
          mount({ device: { $case: 'shared', value: { volumeId: '' } } }),
          mount({ device: { $case: 'dedicated', value: { mounterId: '' } } }),
        ],
      },
      ['c.volume_mounts[0].shared.volume_id', 'c.volume_mounts[1].dedicated.mounter_id'],
    ],
    [
      'files that are too large together',
      { volumeMountedFiles: [file('a', 1_048_576), file('b')] },
      ['c.volume_mounted_files'],
    ],
    [
      'files outside of their folder',
      {
        volumeMountedFiles: [file('/etc/passwd'), file('a/../../b'), file(''), file('..')],
      },
      [0, 1, 2, 3].map((i) => `c.volume_mounted_files[${i}].path`),
    ],
    ['an endless placement tag', { placementTags: ['x', 'y'.repeat(256)] }, ['c.placement_tags[1]']],
  ])('with %s is refused', (_, value, expected) => {
    expect(fields(value)).toEqual(expected);
  });
});

describe('hostile containers', () => {
  it.each([
    ['environmentVariables', 'environment_variables', { name: 'A', value: 'x' }],
    ['egressRules', 'egress_rules', { protocol: 'all', destinations: ['::1'] }],
    ['cachedDependencies', 'cached_dependencies', dependency()],
    ['imageLayers', 'image_layers', layer()],
    ['volumeMounts', 'volume_mounts', mount()],
    ['volumeMountedFiles', 'volume_mounted_files', file('a')],
    ['placementTags', 'placement_tags', 'x'],
  ])('may not have more than 1,000 %s', (name, field, item) => {
    expect(fields({ [name]: Array.from({ length: 1_000 }, () => item) })).toEqual([]);
    expect(fields({ [name]: Array.from({ length: 1_001 }, () => item) })).toEqual([`c.${field}`]);
  });

  it('may not hide a huge list in a rule', () => {
    const rule = { protocol: 'tcp', ports: [80], destinations: Array.from({ length: 1_000 }, () => '::1') };
    expect(fields({ egressRules: [rule] })).toEqual(['c.egress_rules[0]']);
  });

  it('are refused with at most a hundred violations, and the number of the others', () => {
    const environmentVariables = Array.from({ length: 1_000 }, () => ({ name: '', value: '\0' }));
    const violations = new Violations();
    checkContainer(violations, 'c', spec({ environmentVariables }));
    expect(refusedFields(() => violations.throwIfAny())).toHaveLength(100);
    expect(() => violations.throwIfAny()).toThrow(/\(and 1900 more\)$/);
  });

  it('may not have text that no process, log or database could hold', () => {
    const broken = new TextDecoder().decode(new Uint8Array([0xc3, 0x28]));
    for (const text of ['a\0', broken]) {
      expect(
        fields({
          rootFs: `preloaded:${text.replaceAll('(', '')}`,
          environmentVariables: [{ name: 'A', value: text }],
          placementTags: [text],
          logGuid: text,
        }),
      ).toEqual(['c.root_fs', 'c.log_guid', 'c.environment_variables[0].value', 'c.placement_tags[0]']);
    }
  });

  it('change nobody’s prototype by the keys of their maps', () => {
    const tags = '__proto__';
    const wire = ContainerSpec.encode(spec()).finish();
    // field 11, a map entry { 1: "__proto__", 2: MetricTagValue { static: "polluted" } }
    const key = [0x0a, tags.length, ...Buffer.from(tags)];
    const value = [0x12, 10, 0x0a, 8, ...Buffer.from('polluted')];
    const entry = [0x5a, key.length + value.length, ...key, ...value];
    const decoded = ContainerSpec.decode(new Uint8Array([...wire, ...entry]));
    expect(fieldsOf((violations) => checkContainer(violations, 'c', decoded))).toEqual([]);
    expect(Object.keys(decoded.metricTags)).toEqual([]);
    expect(({} as Record<string, unknown>).value).toBeUndefined();
  });

  it('may not have more than 100 metric tags, or long ones', () => {
    const tag = { value: { $case: 'static', value: 'x' } };
    const metricTags = Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`t${i}`, tag]));
    expect(fields({ metricTags })).toEqual(['c.metric_tags']);
    const long = { value: { $case: 'static', value: 'x'.repeat(1_024) } };
    expect(fields({ metricTags: { a: long } })).toEqual(['c.metric_tags["a"]']);
  });
});

describe('sidecars', () => {
  const run = { action: { $case: 'runAction', value: { path: '/x', user: 'u' } } };
  const refused = (...sidecars: object[]) =>
    fieldsOf((violations) =>
      checkSidecars(
        violations,
        's',
        sidecars.map((each) => Sidecar.fromPartial(each as never)),
      ),
    );

  it('have an action, and limits that are not below 0', () => {
    expect(refused({ action: run })).toEqual([]);
    expect(refused({ action: run }, { action: {}, diskMb: -1, memoryMb: -1 })).toEqual([
      's[1].action',
      's[1].disk_mb',
      's[1].memory_mb',
    ]);
  });

  it('are at most 20, and no more are looked at', () => {
    expect(refused(...Array.from({ length: 20 }, () => ({ action: run })))).toEqual([]);
    expect(refused(...Array.from({ length: 5_000 }, () => ({})))).toHaveLength(21);
  });
});
