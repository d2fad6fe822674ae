import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ConfigError, configTable, duration, loadConfig, size } from './config.js';

const schema = z.object({
  listen: z.string().default('127.0.0.1:8889').describe('Where to listen.'),
  database: z
    .object({
      url: z.string().describe('mysql://user:password@host/name.'),
      poolSize: z.number().int().min(1).max(100).default(8).describe('Connections.'),
      leaseTtl: duration({ min: '1s', max: '1h' }).default(15_000).describe('How long a leader leads.'),
    })
    .describe('Where everything is kept.'),
  log: z.object({ level: z.enum(['debug', 'info', 'warn']).default('info').describe('Least level.') }).prefault({}),
  cache: z
    .object({
      maxSize: size({ max: '1TiB' })
        .default(2 ** 30)
        .describe('Bound of the cache.'),
    })
    .default({ maxSize: 7 }),
  tags: z.array(z.string()).default([]).describe('Placement tags.'),
  stacks: z.record(z.string(), z.string()).default({}).describe('Name and folder of each root file system.'),
  zone: z.string().default('').describe('Fault domain.'),
  evacuate: z.boolean().optional().describe('Whether to move away at the end.'),
});

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'rivera-config-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const minimal = { RIVERA_DATABASE_URL: 'mysql://here' };

function file(content: string): string {
  const path = join(dir, `${Math.random()}.yml`);
  writeFileSync(path, content);
  return path;
}

function complaint(content: string, env: NodeJS.ProcessEnv = {}): string {
  try {
    loadConfig({ schema, file: file(content), env });
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return error instanceof Error ? error.message.replaceAll(`${dir}/`, '').replaceAll(/0\.\d+\.yml/g, 'FILE') : '';
  }
  throw new Error('no complaint');
}

describe('values come from', () => {
  test('the defaults, also of objects that nobody mentions', () => {
    expect(loadConfig({ schema, env: minimal })).toEqual({
      listen: '127.0.0.1:8889',
      database: { url: 'mysql://here', poolSize: 8, leaseTtl: 15_000 },
      log: { level: 'info' },
      cache: { maxSize: 7 },
      tags: [],
      stacks: {},
      zone: '',
    });
  });

  test('the file, over the defaults', () => {
    const text =
      'database:\n  url: mysql://file\n  leaseTtl: 1m30s\ncache: {maxSize: 64MiB}\nstacks: {busybox: /srv/b}\n';
    const config = loadConfig({ schema, file: file(text), env: {} });
    expect(config.database).toEqual({ url: 'mysql://file', poolSize: 8, leaseTtl: 90_000 });
    expect(config.cache.maxSize).toBe(64 * 2 ** 20);
    expect(config.stacks).toEqual({ busybox: '/srv/b' });
  });

  test('the environment, over the file', () => {
    const config = loadConfig({
      schema,
      file: file('database: {url: mysql://file, poolSize: 3}\ntags: [a]\n'),
      env: {
        RIVERA_DATABASE_POOL_SIZE: '20',
        RIVERA_DATABASE_LEASE_TTL: '5s',
        RIVERA_CACHE_MAX_SIZE: '1KiB',
        RIVERA_TAGS: 'ssd, gpu',
        RIVERA_STACKS: '{busybox: /srv/c}',
        RIVERA_EVACUATE: 'yes',
        RIVERA_LISTEN: '',
      },
    });
    expect(config).toMatchObject({
      listen: '127.0.0.1:8889',
      database: { url: 'mysql://file', poolSize: 20, leaseTtl: 5000 },
      cache: { maxSize: 1024 },
      tags: ['ssd', 'gpu'],
      stacks: { busybox: '/srv/c' },
      evacuate: true,
    });
  });

  test('the options of the command, over the environment', () => {
    const overrides = { database: { poolSize: 1 }, listen: undefined };
    const env = { ...minimal, RIVERA_DATABASE_POOL_SIZE: '20', RIVERA_LISTEN: 'x:1' };
    expect(loadConfig({ schema, env, overrides })).toMatchObject({ listen: 'x:1', database: { poolSize: 1 } });
  });

  test('an empty file, which says nothing', () => {
    expect(loadConfig({ schema, file: file('# nothing\n'), env: minimal }).database.url).toBe('mysql://here');
  });
});

describe('a mistake is named with file, key and rule', () => {
  test('an unknown key, with the nearest known one', () => {
    expect(complaint('database: {url: x, pool_size: 3}')).toBe(
      'FILE: unknown key database.pool_size; did you mean database.poolSize?',
    );
    expect(complaint('databse: {url: x}')).toContain('unknown key databse; did you mean database?');
  });

  test('a known key in the wrong place', () => {
    expect(complaint('leaseTtl: 5s\ndatabase: {url: x}')).toBe(
      'FILE: unknown key leaseTtl; did you mean database.leaseTtl?',
    );
  });

  test('a value of the wrong kind, in the file or in the environment', () => {
    expect(complaint('database: {url: x, poolSize: many}')).toMatch(/^FILE: database\.poolSize: .*expected number/);
    expect(complaint('', { ...minimal, RIVERA_DATABASE_POOL_SIZE: 'many' })).toMatch(
      /^environment variable RIVERA_DATABASE_POOL_SIZE: database\.poolSize: .*expected number/,
    );
    expect(complaint('database: 5')).toMatch(/^FILE: database: .*expected object/);
    expect(complaint('database: {url: x}\ntags: {a: 1}')).toMatch(/^FILE: tags: .*expected array/);
  });

  test('a duration without a unit that exists, or outside its bounds', () => {
    expect(complaint('database: {url: x, leaseTtl: 5 parsecs}')).toBe(
      'FILE: database.leaseTtl: must be a duration such as "15s", "1m30s" or "250ms", not "5 parsecs"',
    );
    expect(complaint('database: {url: x, leaseTtl: 10ms}')).toBe('FILE: database.leaseTtl: must be at least 1s');
    expect(complaint('database: {url: x, leaseTtl: 2h}')).toBe('FILE: database.leaseTtl: must be at most 1h');
    expect(complaint('database: {url: x}\ncache: {maxSize: 2TiB}')).toBe('FILE: cache.maxSize: must be at most 1TiB');
  });

  test('what is required and missing, with the variable that would do', () => {
    expect(complaint('database: {}')).toBe('FILE: database.url is required (or set RIVERA_DATABASE_URL)');
    expect(complaint('')).toBe('FILE: database.url is required (or set RIVERA_DATABASE_URL)');
  });

  test('all mistakes at once', () => {
    expect(complaint('lisen: x\nlog: {level: loud}').split('\n')).toHaveLength(3);
  });

  test('a file that is missing, no YAML, or no map', () => {
    expect(() => loadConfig({ schema, file: join(dir, 'nowhere.yml') })).toThrow(/nowhere\.yml: no such file/);
    expect(complaint('a: [1')).toMatch(/^FILE: not valid YAML: .*line 1/);
    expect(complaint('- a')).toBe('FILE: must hold keys and values at its top level');
    expect(complaint('a: 1\na: 2')).toMatch(/^FILE: not valid YAML: .*unique/);
  });
});

describe('the table', () => {
  test('documents every key', () => {
    expect(configTable(schema).split('\n')).toEqual([
      '| Key | Environment variable | Type | Default | Meaning |',
      '| --- | --- | --- | --- | --- |',
      '| `listen` | `RIVERA_LISTEN` | string | `127.0.0.1:8889` | Where to listen. |',
      '| `database.url` | `RIVERA_DATABASE_URL` | string | required | mysql://user:password@host/name. |',
      '| `database.poolSize` | `RIVERA_DATABASE_POOL_SIZE` | number | `8` | Connections. |',
      '| `database.leaseTtl` | `RIVERA_DATABASE_LEASE_TTL` | duration | `15s` | How long a leader leads. |',
      '| `log.level` | `RIVERA_LOG_LEVEL` | debug \\| info \\| warn | `info` | Least level. |',
      '| `cache.maxSize` | `RIVERA_CACHE_MAX_SIZE` | size | `1GiB` | Bound of the cache. |',
      '| `tags` | `RIVERA_TAGS` | list of string | `[]` | Placement tags. |',
      '| `stacks` | `RIVERA_STACKS` | map | `{}` | Name and folder of each root file system. |',
      '| `zone` | `RIVERA_ZONE` | string | `""` | Fault domain. |',
      '| `evacuate` | `RIVERA_EVACUATE` | boolean | — | Whether to move away at the end. |',
    ]);
  });

  test('two keys with one variable are a bug', () => {
    const ambiguous = z.object({ a: z.object({ b: z.string() }), aB: z.string() });
    expect(() => configTable(ambiguous)).toThrow('a.b and aB share the variable RIVERA_A_B');
  });
});

test('durations and sizes are read and written as people do', () => {
  expect(duration().parse('1h2m3s4ms')).toBe(3_723_004);
  expect(duration().parse('0.5s')).toBe(500);
  expect(duration().parse(250)).toBe(250);
  for (const bad of ['', '15', '-1s', '1x', 's', '1 s s']) expect(duration().safeParse(bad).success).toBe(false);
  expect(size().parse('1.5KiB')).toBe(1536);
  expect(size().parse('2MB')).toBe(2_000_000);
  for (const bad of ['', '15', '-1B', '1kb', '1 bit']) expect(size().safeParse(bad).success).toBe(false);
});
