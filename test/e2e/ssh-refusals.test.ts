import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ended, type SshClient } from '../stack/ssh-client.js';
import { SSH_SECRET, SshStack } from '../stack/ssh-stack.js';
import type { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { instancesOf } from '../stack/work.js';

/** What a daemon of the reference would be known by; here there is none. */
const FINGERPRINTS = {
  host_fingerprint: '00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff',
  host_256_fingerprint: 'nobody has this key',
};
const routes = { 'diego-ssh': JSON.stringify({ container_port: 2222, ...FINGERPRINTS }) };

let proxied: SshStack;
let stack: Stack;
let client: RiveraClient;
let box: SshClient;
let keys: string;

beforeAll(async () => {
  proxied = await SshStack.start({ apps: ['one', 'two'], routes, ssh: () => ({ maxChannels: 3 }) });
  ({ stack, client, box, folder: keys } = proxied);
}, 120_000);
afterAll(async () => {
  await proxied?.close();
}, 120_000);

const one = (command: string, o: Parameters<SshClient['ssh']>[2] = {}) =>
  box.ssh('diego:one/0', command, { secret: SSH_SECRET, ...o, extra: { LogLevel: 'INFO', ...o.extra } });
const record = () => stack.servers[0]?.log() ?? '';

describe('what a container has no way to', () => {
  it('X11: is refused, and the session goes on', async () => {
    const there = await one('echo "on[$DISPLAY]"', { flags: ['-Y'], env: { DISPLAY: '127.0.0.1:77' } });
    expect(there).toMatchObject({
      code: 0,
      stdout: 'on[]\n',
      stderr: expect.stringContaining('X11 forwarding request failed on channel 0'),
    });
    expect(record()).toContain('"ssh":"channel-refused"');
    expect(record()).toContain('"kind":"x11"');
  });

  it('an agent for keys: is refused, and the session goes on', async () => {
    const socket = join(keys, 'agent');
    const told = execFileSync('ssh-agent', ['-s', '-a', socket], { encoding: 'utf8' });
    try {
      const there = await one('echo "on[$SSH_AUTH_SOCK]"', {
        flags: ['-A'],
        extra: { IdentityAgent: socket },
        env: { SSH_AUTH_SOCK: socket },
      });
      expect(there).toMatchObject({ code: 0, stdout: 'on[]\n' });
      expect(record()).toContain('"kind":"auth-agent"');
    } finally {
      process.kill(Number(/SSH_AGENT_PID=(\d+)/.exec(told)?.[1]));
    }
  });
});

it('a connection has so many channels, and one too many hears why', async () => {
  const control = join(keys, 'control');
  const master = box.begin('ssh', [...box.options('diego:one/0'), '-M', '-S', control, '-N', 'box'], SSH_SECRET);
  const masterEnd = ended(master);
  const through = (command: string) =>
    box.run('ssh', [...box.options('diego:one/0', { LogLevel: 'INFO' }), '-S', control, 'box', command], {
      input: 'x',
    });
  await until('it is there', async () => (await through('true')).code === 0);
  const held = [1, 2, 3].map(() =>
    box.begin('ssh', [...box.options('diego:one/0'), '-S', control, 'box', 'echo in; cat']),
  );
  for (const child of held) await new Promise((resolve) => child.stdout.once('data', resolve));
  expect((await through('true')).code).not.toBe(0);
  expect(record()).toContain('"kind":"session","why":"too many channels"');
  const ends = held.map(ended);
  for (const child of held) child.stdin.end('bye');
  expect((await Promise.all(ends)).map(({ code, stdout }) => ({ code, stdout }))).toEqual(
    Array(3).fill({ code: 0, stdout: 'bye' }),
  );
  await until('there is room again', async () => (await through('true')).code === 0);
  master.kill();
  await masterEnd;
});

describe('forwarding out of a container', () => {
  it("reaches what the container reaches, and nothing else: other containers aren't, with the reason", async () => {
    const [other] = await instancesOf(client, 'two');
    const address = other?.netInfo?.instanceAddress ?? '';
    expect(address).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    const refused = await one('', { flags: ['-W', `${address}:8080`] });
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(new RegExp(`open failed: connect failed: connect E\\w+ ${address}:8080`));
    // The same port answers from inside its own container, and from this machine.
    const own = await box.run('ssh', [...box.options('diego:two/0'), '-W', `${address}:8080`, 'box'], {
      secret: SSH_SECRET,
      input: 'GET / HTTP/1.0\r\n\r\n',
    });
    expect(own.stdout).toContain('200 OK');
  });
});

describe('keys', () => {
  it('of RSA log in with SHA-2, and not with SHA-1', async () => {
    const key = join(keys, 'rsa');
    execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', key]);
    await client.ssh.addKey(readFileSync(`${key}.pub`, 'utf8'), { name: 'ada' });
    const login = (extra: Record<string, string> = {}) =>
      box.ssh('one/0', 'echo in', { extra: { IdentityFile: key, PasswordAuthentication: 'no', ...extra } });
    expect(await login()).toMatchObject({ code: 0, stdout: 'in\n' });
    expect((await login({ PubkeyAcceptedAlgorithms: 'ssh-rsa' })).code).toBe(255);
  });

  it('are exchanged anew in the middle of data, in both directions', async () => {
    const lines = `${Array.from({ length: 60_000 }, (_, i) => i + 1).join('\n')}\n`;
    const there = await one('cat', { input: lines, extra: { RekeyLimit: '64K', LogLevel: 'DEBUG1' } });
    expect(there.code).toBe(0);
    expect(there.stdout === lines).toBe(true);
    expect(there.stderr.split('SSH2_MSG_NEWKEYS received').length).toBeGreaterThan(3);
  });
});

describe('the end of a process', () => {
  const signalled = { code: 255, stderr: expect.stringContaining('exit-signal') };
  const debug = { extra: { LogLevel: 'DEBUG1' } };

  it('by a signal is told as one, and so is its code, which the runtime tells alike', async () => {
    for (const command of ['kill -9 $$', 'exit 137', 'kill -TERM $$']) {
      expect(await one(command, debug)).toMatchObject(signalled);
    }
  });

  it('by a signal that ended a command of a shell is a code, where people are or shells pass it on', async () => {
    expect(await one('exit 130', debug)).toMatchObject({ code: 130 });
    expect(await one('kill -9 $$', { flags: ['-tt'] })).toMatchObject({ code: 137 });
    expect(await one('exit 137', { flags: ['-tt'] })).toMatchObject({ code: 137 });
  });
});
