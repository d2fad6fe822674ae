import { DesiredLrp, DesiredLrpUpdate } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { UpsertDomainRequest } from '@rivera/gen/rivera/bbs/v1/domain_service';
import { DesireTaskRequest } from '@rivera/gen/rivera/bbs/v1/task_service';
import { describe, expect, it } from 'vitest';
import {
  requireRecipeSize,
  requireText,
  validateDesiredLrp,
  validateDomain,
  validateTask,
  validateUpdate,
} from './requests.js';
import { refusedFields } from './testing.js';

const action = { action: { $case: 'runAction', value: { path: '/bin/true', user: 'root' } } };
const container = { rootFs: 'preloaded:busybox' };

const task = (value: object = {}, definition: object = {}): string[] =>
  refusedFields(() =>
    validateTask(
      DesireTaskRequest.fromPartial({
        taskGuid: 't',
        domain: 'd',
        definition: { container, action, ...definition },
        ...value,
      } as never),
    ),
  );
const lrp = (value: object = {}): string[] =>
  refusedFields(() =>
    validateDesiredLrp(
      DesiredLrp.fromPartial({ processGuid: 'p', domain: 'd', instances: 1, container, action, ...value } as never),
    ),
  );
const update = (value: object | undefined, processGuid = 'p'): string[] =>
  refusedFields(() => validateUpdate(processGuid, value && DesiredLrpUpdate.fromPartial(value as never)));
const domain = (value: object): string[] =>
  refusedFields(() => validateDomain(UpsertDomainRequest.fromPartial({ domain: 'd', ...value })));

const TEN_YEARS = 10 * 365 * 86_400;
const annotation = (bytes: number) => 'é'.repeat(Math.floor(bytes / 2)) + 'x'.repeat(bytes % 2);

describe('a Task', () => {
  it.each<[string, object, object]>([
    ['what it must have', {}, {}],
    ['a guid of 255 characters', { taskGuid: 'aZ0_-'.repeat(51) }, {}],
    ['an annotation of 10,240 bytes', {}, { annotation: annotation(10_240) }],
    ['a callback', {}, { completionCallbackUrl: 'https://user:secret@x:8443/y?z' }],
  ])('with %s is accepted', (_, value, definition) => {
    expect(task(value, definition)).toEqual([]);
  });

  it.each<[string, object, object, string[]]>([
    ['no guid', { taskGuid: '' }, {}, ['task_guid']],
    ['a guid with a dot', { taskGuid: 'a.b' }, {}, ['task_guid']],
    ['a guid with a line', { taskGuid: 'a\n' }, {}, ['task_guid']],
    ['an endless guid', { taskGuid: 'x'.repeat(256) }, {}, ['task_guid']],
    ['no domain', { domain: '' }, {}, ['domain']],
    ['an endless domain', { domain: 'x'.repeat(256) }, {}, ['domain']],
    ['NUL in its domain', { domain: '\0' }, {}, ['domain']],
    ['no definition', { definition: undefined }, {}, ['definition']],
    ['nothing to do', {}, { action: undefined }, ['definition.action']],
    ['nowhere to do it', {}, { container: undefined }, ['definition.container']],
    ['an annotation of 10,241 bytes', {}, { annotation: annotation(10_241) }, ['definition.annotation']],
    ['a callback to a file', {}, { completionCallbackUrl: 'file:///x' }, ['definition.completion_callback_url']],
    ['a callback to nowhere', {}, { completionCallbackUrl: 'x' }, ['definition.completion_callback_url']],
  ])('with %s is refused', (_, value, definition, expected) => {
    expect(task(value, definition)).toEqual(expected);
  });
});

describe('what an image says itself', () => {
  const entry = { action: { $case: 'runAction', value: { path: '', user: '' } } };
  const image = { rootFs: 'docker:///busybox' };

  it('is for images alone, and its program for the main action alone', () => {
    expect(task({}, { container: image, action: entry })).toEqual([]);
    expect(lrp({ container: image, action: entry })).toEqual([]);
    const [path, user] = ['run_action.path', 'run_action.user'];
    expect(task({}, { action: entry })).toEqual([`definition.action.${path}`, `definition.action.${user}`]);
    expect(
      lrp({
        container: { rootFs: `preloaded+layer:x?layer=https://x/y&layer_path=/&layer_digest=${'a'.repeat(64)}` },
        action: entry,
      }),
    ).toHaveLength(2);
    expect(lrp({ container: image, action, setup: entry, monitor: entry, sidecars: [{ action: entry }] })).toEqual([
      `desired_lrp.setup.${path}`,
      `desired_lrp.monitor.${path}`,
      `desired_lrp.sidecars[0].action.${path}`,
    ]);
  });
});

describe('an LRP', () => {
  const routes = (bytes: number) => ({ r: JSON.stringify('x'.repeat(bytes - 2)) });

  it.each<[string, object]>([
    ['what it must have', {}],
    ['no instances', { instances: 0 }],
    ['routes of 131,072 bytes', { routes: routes(131_072) }],
    [
      'everything',
      {
        setup: action,
        monitor: action,
        sidecars: [{ action }],
        ports: [1, 65_535],
        startTimeout: { seconds: TEN_YEARS, nanos: 999_999_999 },
        restartPolicy: { minimumBackoff: { seconds: 0, nanos: 0 } },
      },
    ],
    ['a strategy of a later version', { updateStrategy: 99 }],
  ])('with %s is accepted', (_, value) => {
    expect(lrp(value)).toEqual([]);
  });

  it.each<[string, object, string[]]>([
    ['no guid', { processGuid: '' }, ['desired_lrp.process_guid']],
    ['a guid with a dot', { processGuid: 'a.b' }, ['desired_lrp.process_guid']],
    ['no domain', { domain: '' }, ['desired_lrp.domain']],
    ['fewer instances than none', { instances: -1 }, ['desired_lrp.instances']],
    ['too many instances', { instances: 10_001 }, ['desired_lrp.instances']],
    ['no container', { container: undefined }, ['desired_lrp.container']],
    ['nothing to do', { action: undefined }, ['desired_lrp.action']],
    ['an empty setup', { setup: {} }, ['desired_lrp.setup']],
    ['an empty monitor', { monitor: {} }, ['desired_lrp.monitor']],
    ['an empty sidecar', { sidecars: [{}] }, ['desired_lrp.sidecars[0].action']],
    ['an empty check', { checkDefinition: { checks: [{}] } }, ['desired_lrp.check_definition.checks[0]']],
    ['a route that is no JSON', { routes: { r: '{' } }, ['desired_lrp.routes["r"]']],
    ['routes of 131,073 bytes', { routes: routes(131_073) }, ['desired_lrp.routes']],
    ['an endless route name', { routes: { ['x'.repeat(256)]: '1' } }, ['desired_lrp.routes']],
    [
      'too many routes',
      { routes: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`r${i}`, '1'])) },
      ['desired_lrp.routes'],
    ],
    ['an annotation of 10,241 bytes', { annotation: annotation(10_241) }, ['desired_lrp.annotation']],
    ['ports that are none', { ports: [0, 80, 65_536] }, ['desired_lrp.ports[0]', 'desired_lrp.ports[2]']],
    ['too many ports', { ports: Array.from({ length: 101 }, (_, i) => i + 1) }, ['desired_lrp.ports']],
    ['a start before now', { startTimeout: { seconds: -1, nanos: 0 } }, ['desired_lrp.start_timeout']],
    ['a fraction that is none', { startTimeout: { seconds: 1, nanos: 1_000_000_000 } }, ['desired_lrp.start_timeout']],
    ['a negative fraction', { startTimeout: { seconds: 1, nanos: -1 } }, ['desired_lrp.start_timeout']],
    [
      'pauses beyond all numbers',
      {
        restartPolicy: {
          minimumBackoff: { seconds: 8e15, nanos: 0 },
          maximumBackoff: { seconds: TEN_YEARS + 1, nanos: 0 },
          resetAfter: { seconds: 0, nanos: -1 },
        },
      },
      ['minimum_backoff', 'maximum_backoff', 'reset_after'].map((name) => `desired_lrp.restart_policy.${name}`),
    ],
  ])('with %s is refused', (_, value, expected) => {
    expect(lrp(value)).toEqual(expected);
  });

  it('is needed', () => {
    expect(refusedFields(() => validateDesiredLrp(undefined))).toEqual(['desired_lrp']);
  });

  it('names every broken rule, in the order of its fields', () => {
    expect(lrp({ processGuid: '', domain: '', instances: -1, action: {}, annotation: annotation(10_241) })).toEqual([
      'desired_lrp.process_guid',
      'desired_lrp.domain',
      'desired_lrp.instances',
      'desired_lrp.action',
      'desired_lrp.annotation',
    ]);
  });

  it('changes nobody’s prototype by the names of its routes', () => {
    const wire = DesiredLrp.encode(
      DesiredLrp.fromPartial({ processGuid: 'p', routes: { xxproto__: '1', r: '2' } }),
    ).finish();
    const hostile = Buffer.from(Buffer.from(wire).toString('latin1').replace('xxproto__', '__proto__'), 'latin1');
    const decoded = DesiredLrp.decode(hostile);
    expect(Object.entries(decoded.routes)).toEqual([['r', '2']]);
    expect(Object.getPrototypeOf(decoded.routes)).toBe(Object.prototype);
    const parsed = { ...decoded, domain: 'd', container, action, routes: { r: '{"__proto__":{"polluted":1}}' } };
    expect(refusedFields(() => validateDesiredLrp(DesiredLrp.fromPartial(parsed as never)))).toEqual([]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe('an update', () => {
  it.each<[string, object]>([
    ['instances', { instances: 0 }],
    ['an annotation', { annotation: '' }],
    ['routes', { routes: { routes: {} } }],
    ['tags', { metricTags: { tags: {} } }],
    ['credentials', { imageUsername: '', imagePassword: '' }],
  ])('of %s is accepted', (_, value) => {
    expect(update(value)).toEqual([]);
  });

  it.each<[string, object | undefined, string[]]>([
    ['nothing', undefined, ['update']],
    ['nothing in particular', {}, ['update']],
    ['instances below 0', { instances: -1 }, ['update.instances']],
    ['too many instances', { instances: 10_001 }, ['update.instances']],
    ['an endless annotation', { annotation: annotation(10_241) }, ['update.annotation']],
    ['routes that are no JSON', { routes: { routes: { r: '' } } }, ['update.routes.routes["r"]']],
    ['empty tags', { metricTags: { tags: { a: {} } } }, ['update.metric_tags.tags["a"]']],
    ['half of the credentials', { imageUsername: 'me' }, ['update.image_password']],
    ['the other half', { imagePassword: 'secret' }, ['update.image_username']],
  ])('of %s is refused', (_, value, expected) => {
    expect(update(value)).toEqual(expected);
  });

  it('says of which LRP', () => {
    expect(update({ instances: 1 }, '')).toEqual(['process_guid']);
  });
});

describe('a domain', () => {
  it('has a name, and a time that a database can hold; without one it is fresh until told otherwise', () => {
    expect(domain({})).toEqual([]);
    expect(domain({ ttl: { seconds: 0, nanos: 0 } })).toEqual([]);
    expect(domain({ ttl: { seconds: TEN_YEARS, nanos: 0 } })).toEqual([]);
    expect(domain({ domain: '' })).toEqual(['domain']);
    expect(domain({ domain: 'x\0' })).toEqual(['domain']);
    for (const ttl of [
      { seconds: -1, nanos: 0 },
      { seconds: 9e15, nanos: 0 },
      { seconds: 0, nanos: -1 },
      { seconds: 0, nanos: 1_000_000_000 },
    ]) {
      expect(domain({ ttl })).toEqual(['ttl']);
    }
  });
});

describe('small rules', () => {
  it('a recipe fits a row and a message: 2 MiB', () => {
    const of = (bytes: number) => refusedFields(() => requireRecipeSize('definition', new Uint8Array(bytes)));
    expect(of(2 * 1024 * 1024)).toEqual([]);
    expect(of(2 * 1024 * 1024 + 1)).toEqual(['definition']);
  });

  it('what names something is not empty', () => {
    expect(refusedFields(() => requireText('task_guid', 'x'))).toEqual([]);
    expect(refusedFields(() => requireText('task_guid', ''))).toEqual(['task_guid']);
  });
});
