import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { createLogger, silentLogger } from './log.js';

function logger(options: Partial<Parameters<typeof createLogger>[0]> = {}) {
  const lines: string[] = [];
  const destination = new Writable({
    write(line, _, done) {
      lines.push(String(line));
      done();
    },
  });
  return { log: createLogger({ name: 'test', destination, ...options }), lines };
}

test('a line is JSON with name, level, time and message', () => {
  const { log, lines } = logger();
  log.info({ taskGuid: 'g' }, 'hello');
  const { time, ...rest } = JSON.parse(lines[0] ?? '');
  expect(rest).toMatchObject({ name: 'test', level: 'info', taskGuid: 'g', msg: 'hello' });
  expect(Date.parse(time)).not.toBeNaN();
});

test('below its level it says nothing', () => {
  const { log, lines } = logger({ level: 'warn' });
  log.info('no');
  silentLogger.fatal('no');
  expect(lines).toEqual([]);
});

test('for people it writes text', () => {
  const { log, lines } = logger({ pretty: true });
  log.info({ a: 1 }, 'hello');
  expect(lines.join('')).toMatch(/INFO.*hello/);
});

describe('secrets do not reach the log', () => {
  const SECRET = 'hunter2';
  const secrets = {
    'a password at the top': { password: SECRET },
    'a password deep inside': { request: { desiredLrp: { container: [{ imagePassword: SECRET }] } } },
    'a name in another case': { image_password: SECRET, Authorization: SECRET, 'Access-Token': SECRET },
    'keys and tokens': { key: SECRET, keyPem: SECRET, token: SECRET, private_key: SECRET },
    'the route for SSH': { routes: { 'diego-ssh': { private_key: SECRET } } },
    'the route for SSH, as text': { routes: { 'diego-ssh': `{"private_key":"${SECRET}"}` } },
    'the route for SSH, as bytes': { routes: { 'diego-ssh': Buffer.from(SECRET).toString() } },
    'values of environment variables': {
      run: { env: [{ name: 'A', value: SECRET }], environmentVariables: [{ name: 'A', value: SECRET }] },
      environment: { A: SECRET },
      process: { env: [`A=${SECRET}`] },
    },
    'a map': { config: new Map([['password', SECRET]]) },
    'the password of a URL': { database: `mysql://root:${SECRET}@127.0.0.1/rivera` },
    'what an error carries': { err: Object.assign(new Error('failed'), { options: { password: SECRET } }) },
    'what an error says of a URL': { err: new Error(`can't reach mysql://root:${SECRET}@127.0.0.1`) },
  };

  test.each(Object.entries(secrets))('%s', (_, fields) => {
    const { log, lines } = logger();
    log.info(fields, 'x');
    log.child(fields).info('x');
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      expect(line).not.toContain(SECRET);
      expect(() => JSON.parse(line)).not.toThrow();
    }
  });

  test('a URL in the message', () => {
    const { log, lines } = logger();
    log.info(`connecting to mysql://root:${SECRET}@host:3306/db`);
    expect(lines[0]).toContain('mysql://root:[redacted]@host:3306/db');
  });

  test('and what is none stays readable', () => {
    const { log, lines } = logger();
    log.info(
      { env: [{ name: 'PATH', value: SECRET }], keyCount: 3, url: 'http://host:80/a@b', err: new Error('boom') },
      'x',
    );
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      env: [{ name: 'PATH', value: '[redacted]' }],
      keyCount: 3,
      url: 'http://host:80/a@b',
      err: { type: 'Error', message: 'boom', stack: expect.stringContaining('log.test') },
    });
  });
});

test('the logged object is left as it is', () => {
  const fields = { user: { name: 'ada', password: 'x' } };
  logger().log.info(fields);
  expect(fields.user.password).toBe('x');
});

test('cycles and monsters end', () => {
  const { log, lines } = logger();
  const cycle: Record<string, unknown> = { name: 'a' };
  for (const key of ['b', 'c', 'd', 'e']) cycle[key] = cycle;
  log.info({ cycle }, 'x');
  log.info({ big: Array.from({ length: 10_000 }, () => ({ password: 'hunter2' })) }, 'x');
  expect(lines).toHaveLength(2);
  expect(lines.join('')).not.toContain('hunter2');
});
