import { Action, CheckDefinition } from '@rivera/gen/rivera/recipe/v1/action';
import { describe, expect, it } from 'vitest';
import { checkAction, checkDefinition } from './action.js';
import { fieldsOf } from './testing.js';

const action = (member: { $case: string; value: object }): Action => Action.fromPartial({ action: member } as never);
const run = (value: object = {}): Action =>
  action({ $case: 'runAction', value: { path: '/bin/true', user: 'root', ...value } });
const download = (value: object = {}): Action =>
  action({ $case: 'downloadAction', value: { from: 'https://x/y.tgz', to: '/app', user: 'root', ...value } });
const upload = (value: object = {}): Action =>
  action({ $case: 'uploadAction', value: { from: '/app/x', to: 'https://x/y', user: 'root', ...value } });
const timeout = (value: object = {}): Action =>
  action({ $case: 'timeoutAction', value: { action: run(), timeout: { seconds: 1, nanos: 0 }, ...value } });
const serial = (...actions: Action[]): Action => action({ $case: 'serialAction', value: { actions } });
const attempt = (inner?: Action): Action => action({ $case: 'tryAction', value: { ...(inner && { action: inner }) } });

const fields = (value: Action | undefined): string[] => fieldsOf((violations) => checkAction(violations, 'a', value));

describe('in an image of a registry', () => {
  const broken = (value: Action, image: { path: boolean; user: boolean }) =>
    fieldsOf((violations) => checkAction(violations, 'a', value, image));

  it.each<[string, Action, { path: boolean; user: boolean }, string[]]>([
    ['the program and user may be its own', run({ path: '', user: '' }), { path: true, user: true }, []],
    ['also below', attempt(serial(run({ path: '', user: '' }))), { path: true, user: true }, []],
    [
      'beside the main action only the user',
      run({ path: '', user: '' }),
      { path: false, user: true },
      ['a.run_action.path'],
    ],
    [
      'files belong to somebody all the same',
      download({ user: '' }),
      { path: true, user: true },
      ['a.download_action.user'],
    ],
    [
      'text is text',
      run({ path: '\0', user: '\0' }),
      { path: true, user: true },
      ['a.run_action.path', 'a.run_action.user'],
    ],
  ])('%s', (_, value, image, expected) => {
    expect(broken(value, image)).toEqual(expected);
  });
});

describe('an action', () => {
  it.each<[string, Action]>([
    ['runs', run({ resourceLimits: { nofile: 100 }, env: [{ name: 'A', value: '' }], args: ['', 'é'] })],
    ['downloads', download({ checksumAlgorithm: 'SHA256', checksumValue: 'abc' })],
    ['uploads', upload()],
    ['ends in time', timeout({ timeout: { seconds: 0, nanos: 1 } })],
    ['says how it goes', action({ $case: 'emitProgressAction', value: { action: run(), startMessage: 'now' } })],
    ['may fail', attempt(run())],
    ['happens together', action({ $case: 'parallelAction', value: { actions: [run(), download()] } })],
    ['happens in order', serial(run(), upload())],
    ['stands and falls together', action({ $case: 'codependentAction', value: { actions: [run()] } })],
    ['is nested 32 levels deep', Array.from({ length: 31 }).reduce<Action>((inner) => attempt(inner), run())],
    ['has 1,000 parts', serial(...Array.from({ length: 999 }, () => run()))],
  ])('that %s is accepted', (_, value) => {
    expect(fields(value)).toEqual([]);
  });

  it.each<[string, Action | undefined, string[]]>([
    ['nothing', undefined, ['a']],
    ['no member', Action.fromPartial({}), ['a']],
    ['a run of nothing', run({ path: '' }), ['a.run_action.path']],
    ['a run by nobody', run({ user: '' }), ['a.run_action.user']],
    ['too many arguments', run({ args: Array.from({ length: 10_001 }, () => 'x') }), ['a.run_action.args']],
    ['no open files at all', run({ resourceLimits: { nofile: 0 } }), ['a.run_action.resource_limits.nofile']],
    ['a blank variable', run({ env: [{ name: ' ', value: 'x' }] }), ['a.run_action.env[0].name']],
    ['a variable with "="', run({ env: [{ name: 'A=B', value: 'x' }] }), ['a.run_action.env[0].name']],
    ['a download from nowhere', download({ from: '' }), ['a.download_action.from']],
    ['a download from a file', download({ from: 'file:///etc/shadow' }), ['a.download_action.from']],
    ['a download to nowhere', download({ to: '' }), ['a.download_action.to']],
    ['a download for nobody', download({ user: '' }), ['a.download_action.user']],
    ['half a checksum', download({ checksumAlgorithm: 'md5' }), ['a.download_action.checksum_value']],
    ['the other half', download({ checksumValue: 'x' }), ['a.download_action.checksum_algorithm']],
    [
      'an unknown checksum',
      download({ checksumAlgorithm: 'crc', checksumValue: 'x' }),
      ['a.download_action.checksum_algorithm'],
    ],
    ['an upload of nothing', upload({ from: '' }), ['a.upload_action.from']],
    ['an upload to nowhere', upload({ to: 'nowhere' }), ['a.upload_action.to']],
    ['an upload by nobody', upload({ user: '' }), ['a.upload_action.user']],
    ['no time', timeout({ timeout: undefined }), ['a.timeout_action.timeout']],
    ['no time at all', timeout({ timeout: { seconds: 0, nanos: 0 } }), ['a.timeout_action.timeout']],
    ['a time before now', timeout({ timeout: { seconds: -1, nanos: 0 } }), ['a.timeout_action.timeout']],
    ['a time after all', timeout({ timeout: { seconds: 9e15, nanos: 0 } }), ['a.timeout_action.timeout']],
    ['fractions below 0', timeout({ timeout: { seconds: 1, nanos: -2_000_000_000 } }), ['a.timeout_action.timeout']],
    ['fractions above 1', timeout({ timeout: { seconds: 1, nanos: 2_000_000_000 } }), ['a.timeout_action.timeout']],
    ['a timeout of nothing', timeout({ action: undefined }), ['a.timeout_action.action']],
    ['an attempt at nothing', attempt(), ['a.try_action.action']],
    ['nothing in order', serial(), ['a.serial_action.actions']],
    ['something empty in order', serial(run(), Action.fromPartial({})), ['a.serial_action.actions[1]']],
  ])('of %s is refused', (_, value, expected) => {
    expect(fields(value)).toEqual(expected);
  });

  it('is refused where text could not be given to a process', () => {
    const nul = 'a\0b';
    const broken = new TextDecoder().decode(new Uint8Array([0x61, 0xff]));
    for (const text of [nul, broken]) {
      expect(fields(run({ path: text, user: text, dir: text, args: ['x', text] }))).toEqual([
        'a.run_action.path',
        'a.run_action.user',
        'a.run_action.dir',
        'a.run_action.args[1]',
      ]);
      expect(fields(run({ env: [{ name: text, value: text }] }))).toEqual([
        'a.run_action.env[0].name',
        'a.run_action.env[0].value',
      ]);
      expect(fields(download({ to: text, user: text }))).toEqual(['a.download_action.user', 'a.download_action.to']);
      expect(fields(upload({ from: text, user: text }))).toEqual(['a.upload_action.from', 'a.upload_action.user']);
    }
  });

  it('names every broken rule, wherever it is', () => {
    expect(fields(serial(attempt(run({ path: '' })), timeout({ action: download({ to: '' }) })))).toEqual([
      'a.serial_action.actions[0].try_action.action.run_action.path',
      'a.serial_action.actions[1].timeout_action.action.download_action.to',
    ]);
  });
});

describe('hostile actions', () => {
  it('are not followed deeper than 32 levels', () => {
    const deep = Array.from({ length: 500 }).reduce<Action>((inner) => attempt(inner), run());
    const [field, ...others] = fields(deep);
    expect(others).toEqual([]);
    expect(field?.split('.try_action')).toHaveLength(33);
  });

  it('are not counted further than 1,000, however they are nested', () => {
    const wide = serial(...Array.from({ length: 100 }, () => serial(...Array.from({ length: 100 }, () => run()))));
    expect(fields(wide)).toHaveLength(1);
    const broken = serial(...Array.from({ length: 5_000 }, () => run({ path: '' })));
    expect(fields(broken).length).toBeLessThanOrEqual(100);
  });
});

describe('checks', () => {
  const checks = (...list: object[]) =>
    fieldsOf((violations) => checkDefinition(violations, 'c', CheckDefinition.fromPartial({ checks: list })));
  const tcp = (port: number) => ({ probe: { $case: 'tcpCheck', value: { port } } });
  const http = (port: number) => ({ probe: { $case: 'httpCheck', value: { port, path: '/' } } });

  it('are accepted for ports that there are', () => {
    expect(checks(tcp(1), http(65_535), { ...tcp(80), interval: { seconds: 1, nanos: 0 } })).toEqual([]);
    expect(fieldsOf((violations) => checkDefinition(violations, 'c', undefined))).toEqual([]);
  });

  it('are refused without a probe, for other ports, and for times that are none', () => {
    expect(checks({})).toEqual(['c.checks[0]']);
    expect(checks(tcp(0), http(65_536))).toEqual(['c.checks[0].tcp_check.port', 'c.checks[1].http_check.port']);
    const none = { seconds: 0, nanos: 0 };
    expect(checks({ ...tcp(80), interval: none, timeout: { seconds: -1, nanos: 0 } })).toEqual([
      'c.checks[0].interval',
      'c.checks[0].timeout',
    ]);
  });

  it('of readiness follow the same rules', () => {
    const definition = CheckDefinition.fromPartial({ readinessChecks: [{}] });
    const refused = fieldsOf((violations) => checkDefinition(violations, 'c', definition));
    expect(refused).toEqual(['c.readiness_checks[0]']);
  });

  it('are at most 100', () => {
    expect(checks(...Array.from({ length: 101 }, () => tcp(80)))).toEqual(['c.checks']);
  });
});
