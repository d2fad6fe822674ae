import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CliError, EXIT } from '../failures.js';
import { type ConnectionFlags, resolveConnection } from './context.js';

let folder: string;
let cwd: string;
let home: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rivera-context-'));
  cwd = join(folder, 'project');
  home = join(folder, 'home');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function writeContext(data: string, server: string): void {
  mkdirSync(data, { recursive: true });
  const context = { servers: [server], ca: 'tls/ca.crt', cert: 'tls/client.crt', key: 'tls/client.key' };
  writeFileSync(join(data, 'client.json'), JSON.stringify(context));
}

const resolveWith = (flags: ConnectionFlags, env: NodeJS.ProcessEnv = {}) =>
  resolveConnection(flags, { env, cwd, home });

function failureOf(flags: ConnectionFlags, env: NodeJS.ProcessEnv = {}): CliError {
  try {
    resolveWith(flags, env);
  } catch (error) {
    if (error instanceof CliError) return error;
    throw error;
  }
  throw new Error('it was found');
}

const ALL = { servers: 'a:1', ca: 'ca', cert: 'c', key: 'k' };

describe('how the servers are found', () => {
  it('prefers the project over the home folder', () => {
    writeContext(join(home, '.rivera'), 'home:1');
    expect(resolveWith({}).servers).toEqual(['home:1']);
    writeContext(join(cwd, '.rivera'), 'project:1');
    expect(resolveWith({})).toEqual({
      servers: ['project:1'],
      ca: join(cwd, '.rivera/tls/ca.crt'),
      cert: join(cwd, '.rivera/tls/client.crt'),
      key: join(cwd, '.rivera/tls/client.key'),
    });
  });

  it('takes flags over environment over context, part by part', () => {
    writeContext(join(cwd, '.rivera'), 'project:1');
    const found = resolveWith({ servers: 'flag:1,flag:2' }, { RIVERA_SERVERS: 'env:1', RIVERA_CA: '/env/ca' });
    expect(found.servers).toEqual(['flag:1', 'flag:2']);
    expect(found.ca).toBe('/env/ca');
    expect(found.cert).toBe(join(cwd, '.rivera/tls/client.crt'));
  });

  it('needs no file when everything is said', () => {
    expect(resolveWith(ALL)).toEqual({
      servers: ['a:1'],
      ca: join(cwd, 'ca'),
      cert: join(cwd, 'c'),
      key: join(cwd, 'k'),
    });
  });

  it('can be pointed at a data folder or at the file in it', () => {
    writeContext(join(folder, 'other'), 'other:1');
    expect(resolveWith({ context: join(folder, 'other') }).servers).toEqual(['other:1']);
    expect(resolveWith({}, { RIVERA_CONTEXT: join(folder, 'other/client.json') }).servers).toEqual(['other:1']);
  });

  it('says what to do when nothing is known', () => {
    const failure = failureOf({});
    expect(failure.exitCode).toBe(EXIT.usage);
    expect(failure.next.join('\n')).toMatch(/rivera up[\s\S]*--servers[\s\S]*RIVERA_SERVERS/);
  });

  it('names the part that is missing', () => {
    expect(failureOf({ servers: 'a:1' }).message).toBe('no certificate authority is known');
    expect(failureOf({ servers: 'a:1', ca: 'x' }).next).toEqual(['Name its file with --cert or RIVERA_CERT.']);
    expect(failureOf({ servers: 'a:1', cert: 'x' }).message).toContain('--cert and --key');
  });

  it.each(['http://a:1', 'https://a:1', 'a', 'a:b', 'a:1,', ''])('refuses %j as a server', (servers) => {
    expect(failureOf({ ...ALL, servers }).exitCode).toBe(EXIT.usage);
  });

  it('says which file is broken', () => {
    mkdirSync(join(cwd, '.rivera'), { recursive: true });
    writeFileSync(join(cwd, '.rivera/client.json'), '{');
    expect(failureOf({}).message).toContain(join(cwd, '.rivera/client.json'));
    writeFileSync(join(cwd, '.rivera/client.json'), '{"servers":[]}');
    expect(failureOf({}).message).toContain('servers');
  });
});
