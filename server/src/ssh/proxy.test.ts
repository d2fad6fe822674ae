import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@rivera/kit/log';
import { MetricsRegistry } from '@rivera/kit/metrics';
import ssh2 from 'ssh2';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { type Attempt, Authenticator, type AuthenticatorParts } from './authenticator.js';
import { sshConfig } from './config.js';
import { loadHostKey } from './host-key.js';
import { Lockout } from './lockout.js';
import { sshMetrics } from './metrics.js';
import { SshProxy } from './proxy.js';
import { Refused } from './refused.js';

const folder = mkdtempSync(join(tmpdir(), 'rivera-proxy-'));
const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Refuses everybody, and remembers who came. */
class Doorman extends Authenticator {
  readonly attempts: Attempt[] = [];

  override async authenticate(attempt: Attempt): Promise<never> {
    this.attempts.push(attempt);
    throw new Refused('nobody gets in');
  }
}

/** Lets everybody in, as whoever his password says he is. */
class Host extends Doorman {
  override async authenticate({ proof }: Attempt): Promise<never> {
    const who = proof.method === 'password' ? proof.password : 'nobody';
    const location = { cellId: 'c', address: '', target: undefined };
    const target = { processGuid: 'hello', index: 0, domain: 'd', logGuid: 'l', user: 'u', env: {}, location };
    return { who, how: 'code', form: 'rivera', target } as never;
  }
}

async function proxyWith(settings: object, Door = Doorman): Promise<{ doorman: Doorman; port: number }> {
  const config = sshConfig.parse(settings);
  const lockout = new Lockout({ failures: 100, windowMs: 1, durationMs: 1 }, Date.now);
  const doorman = new Door({ config, lockout } as AuthenticatorParts);
  const proxy = new SshProxy({
    config,
    hostKey: loadHostKey(join(folder, 'key')),
    log: createLogger({ name: 'test', level: 'silent' as never }),
    auditLog: undefined,
    metrics: sshMetrics(new MetricsRegistry()),
    authenticator: doorman,
    cellOf: () => undefined as never,
    tell: () => undefined,
  });
  closers.push(() => proxy.close());
  return { doorman, port: await proxy.listen('127.0.0.1:0') };
}

/** Tries a password. @returns what the client was told */
function tryPassword(port: number, before = ''): Promise<string> {
  return new Promise((resolve) => {
    const sock = connect(port, '127.0.0.1');
    if (before !== '') sock.write(before);
    const client = new ssh2.Client();
    closers.push(() => void client.destroy());
    client.on('error', (error) => resolve(error.message));
    client.on('close', () => resolve('closed'));
    client.connect({ sock, username: 'hello/0', password: 'x', readyTimeout: 30_000 });
  });
}

/** Logs in and stays. @returns the client, or what it was told */
function stay(port: number, password: string): Promise<ssh2.Client | string> {
  return new Promise((resolve) => {
    const client = new ssh2.Client();
    closers.push(() => void client.destroy());
    client.on('error', (error) => resolve(error.message));
    client.on('close', () => resolve('closed'));
    client.on('ready', () => resolve(client));
    client.connect({ host: '127.0.0.1', port, username: 'hello/0', password, readyTimeout: 30_000 });
  });
}

describe('the proxy', () => {
  it('bounds the connections of each user, and lets the next one in when one has left', async () => {
    const { port } = await proxyWith({ maxConnectionsPerUser: 2 }, Host);
    const [first, second] = [await stay(port, 'ada'), await stay(port, 'ada')];
    expect(second).toBeInstanceOf(ssh2.Client);
    expect(await stay(port, 'ada')).not.toBeInstanceOf(ssh2.Client);
    expect(await stay(port, 'bob')).toBeInstanceOf(ssh2.Client);
    const left = new Promise<void>((resolve) => (first as ssh2.Client).once('close', () => resolve()));
    (first as ssh2.Client).end();
    await left;
    await expect.poll(() => stay(port, 'ada'), { timeout: 30_000 }).toBeInstanceOf(ssh2.Client);
  });

  it("knows a client's address from the header of a balancer", async () => {
    const { doorman, port } = await proxyWith({ proxyProtocol: true });
    await tryPassword(port, 'PROXY TCP4 192.0.2.9 192.0.2.1 5000 22\r\n');
    expect(doorman.attempts[0]?.address).toBe('192.0.2.9');
  });

  it('that expects such a header serves nobody without', async () => {
    const { doorman, port } = await proxyWith({ proxyProtocol: true });
    await tryPassword(port);
    expect(doorman.attempts).toEqual([]);
  });

  it('tells a refused client nothing but that', async () => {
    const { doorman, port } = await proxyWith({});
    expect(await tryPassword(port)).toBe('All configured authentication methods failed');
    expect(doorman.attempts[0]?.address).toBe('127.0.0.1');
  });

  it('drops who does not log in within its time', async () => {
    const { port } = await proxyWith({ handshakeTimeout: '1s' });
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
  });

  it('is gone when it is closed, whoever is connected', async () => {
    const { port } = await proxyWith({});
    const socket = connect(port, '127.0.0.1');
    await new Promise((resolve) => socket.once('data', resolve));
    await closers.pop()?.();
    const again = connect(port, '127.0.0.1');
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => again.once('error', resolve));
    expect(error.code).toBe('ECONNREFUSED');
  });
});
