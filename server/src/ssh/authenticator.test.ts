import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import ssh2, { type ParsedKey } from 'ssh2';
import { afterEach, describe, expect, it } from 'vitest';
import { Authenticator } from './authenticator.js';
import { sshConfig } from './config.js';
import { Lockout } from './lockout.js';
import { PublicKeys, parsePublicKey } from './public-keys.js';

const APP = '7b0f9fba-6f2a-4a3c-9a64-1e8d7b8f0c11';
const { signal } = new AbortController();

function door(settings: object, store: object = {}) {
  const lockout = new Lockout({ failures: 3, windowMs: 60_000, durationMs: 60_000 }, Date.now);
  const config = sshConfig.parse(settings);
  const keys = new PublicKeys(store as never, '', () => undefined);
  const findTarget = async () => ({}) as never;
  const authenticator = new Authenticator({ config, store: store as never, keys, lockout, findTarget });
  const guess = (o: { user?: string; address?: string; password?: string } = {}) => {
    const { user = 'diego:hello/0', address = '192.0.2.1', password = 'wrong' } = o;
    return authenticator.authenticate({ user, address, proof: { method: 'password', password }, signal }).then(
      () => 'in',
      (error: Error) => error.message,
    );
  };
  return { authenticator, guess };
}

async function times(count: number, act: () => Promise<string>): Promise<string[]> {
  const all: string[] = [];
  for (let i = 0; i < count; i++) all.push(await act());
  return all;
}

const LOCKED = 'locked out after too many wrong credentials';

describe('somebody who guesses', () => {
  it('is locked out with his whole network of IPv6, and nobody beside it', async () => {
    const { guess } = door({ diego: { enabled: true, credential: 'right' } });
    let host = 0;
    await times(3, () => guess({ address: `2001:db8:0:1::${++host}` }));
    expect(await guess({ address: '2001:db8:0:1:ffff::9', password: 'right' })).toBe(LOCKED);
    expect(await guess({ address: '2001:db8:0:2::1', password: 'right' })).toBe('in');
  });

  it('is not whoever comes while the database is away', async () => {
    let away = true;
    const takeCode = async () => {
      if (away) throw new Error('the database is away');
      return { madeBy: 'ada' };
    };
    const { guess } = door({}, { takeCode });
    await times(4, () => guess({ user: 'hello/0' }));
    away = false;
    expect(await guess({ user: 'hello/0' })).toBe('in');
  });
});

describe('a one-time code', () => {
  let server: Server | undefined;
  afterEach(() => void server?.close());

  async function withAuthority(status: number) {
    server = createServer((_request, response) => {
      response.statusCode = status;
      response.end('{}');
    });
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return door({ cf: { enabled: true, tokenUrl: url, authority: url } });
  }

  it('that is refused is a guess', async () => {
    const { guess } = await withAuthority(401);
    await times(3, () => guess({ user: `cf:${APP}/0` }));
    expect(await guess({ user: `cf:${APP}/0` })).toBe(LOCKED);
  });

  it('that can not be looked at is none', async () => {
    const { guess } = await withAuthority(503);
    const all = await times(4, () => guess({ user: `cf:${APP}/0` }));
    expect(all).toEqual(Array(4).fill('Authentication failed: status 503'));
  });
});

describe('a key of RSA', () => {
  const { public: publicKey } = ssh2.utils.generateKeyPairSync('rsa', { bits: 2_048 });
  const { key, text } = parsePublicKey(publicKey);
  const attempt = (algorithm: string) => {
    const findKey = async () => ({ publicKey: text, name: 'ada', processGuids: [], fingerprint: '', expiresAtMs: 0 });
    const { authenticator } = door({}, { findKey });
    const proof = {
      method: 'publickey',
      algorithm,
      blob: (key as ParsedKey).getPublicSSH(),
      verify: () => true,
    } as const;
    return authenticator.authenticate({ user: 'hello/0', address: '192.0.2.1', proof, signal });
  };

  it('signs with SHA-2, and not with SHA-1', async () => {
    expect(await attempt('rsa-sha2-256')).toMatchObject({ who: 'ada' });
    await expect(attempt('ssh-rsa')).rejects.toThrow('SHA-1');
  });

  it('has at least 2,048 bits', () => {
    const { public: short } = ssh2.utils.generateKeyPairSync('rsa', { bits: 1_024 });
    expect(() => parsePublicKey(short)).toThrow('has 1024 bits');
  });
});
