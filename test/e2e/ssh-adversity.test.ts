import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pidsOf } from '../stack/processes.js';
import { Program } from '../stack/program.js';
import { ended, SshClient } from '../stack/ssh-client.js';
import { SSH_SECRET, SshStack } from '../stack/ssh-stack.js';
import { freePort, type Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';

let proxied: SshStack;
let stack: Stack;
let client: RiveraClient;
let box: SshClient;
let keys: string;
let port: number;

beforeAll(async () => {
  proxied = await SshStack.start({
    apps: ['hello'],
    ssh: (folder) => ({
      idleTimeout: '4s',
      maxConnectionsPerUser: 51,
      lockout: { failures: 5, duration: '10s' },
      recordings: join(folder, 'recordings'),
    }),
  });
  ({ stack, client, box, folder: keys, port } = proxied);
}, 120_000);
afterAll(async () => {
  await proxied?.close();
}, 120_000);

const KEEPALIVE = { ServerAliveInterval: '1' };
const hello = (command: string, o: Parameters<SshClient['ssh']>[2] = {}) =>
  box.ssh('diego:hello/0', command, { secret: SSH_SECRET, ...o });
const begin = (command: string, extra: Record<string, string> = KEEPALIVE, flags: string[] = []) =>
  box.begin('ssh', [...box.options('diego:hello/0', extra), ...flags, 'box', command], SSH_SECRET);

function memoryMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
}

/** A connection that says something, and what became of it. */
function dial(text: string | Buffer = ''): { socket: Socket; over: Promise<string> } {
  const socket = connect(port, '127.0.0.1');
  let said = '';
  socket.on('data', (chunk) => {
    said += chunk.toString('latin1');
  });
  socket.on('error', () => undefined);
  if (text.length > 0) socket.write(text);
  return { socket, over: new Promise((resolve) => socket.once('close', () => resolve(said))) };
}

describe('bad input', () => {
  it('ends its own connection and nothing else', async () => {
    const packet = Buffer.concat([
      Buffer.from('SSH-2.0-x\r\n'),
      Buffer.from([0x7f, 0xff, 0xff, 0xff, 4]),
      Buffer.alloc(40_000),
    ]);
    for (const bad of [
      'GET / HTTP/1.1\r\n\r\n',
      Buffer.alloc(300_000, 'x'),
      `SSH-1.5-old\r\n`,
      packet,
      `SSH-2.0-${'y'.repeat(9_000)}\r\n`,
    ]) {
      await dial(bad).over;
    }
    for (const user of [
      '',
      'diego:',
      'diego:hello/',
      'diego:hello/0x',
      'cf:x/0',
      `${'a'.repeat(5_000)}/0`,
      'x/99999999999',
    ]) {
      const { code } = await box.ssh(user || ' ', 'true', { secret: SSH_SECRET });
      expect(code).toBe(255);
    }
    expect((await hello('echo fine')).stdout).toBe('fine\n');
  });

  it('of 1,000 connections that never log in: others get in, and memory stays', async () => {
    const { pid } = stack.servers[0] as { pid: number };
    const before = memoryMb(pid);
    const strangers = Array.from({ length: 1_000 }, (_, i) => dial(i % 2 === 0 ? 'SSH-2.0-idle\r\n' : ''));
    let dropped = 0;
    for (const { over } of strangers) void over.then(() => dropped++);
    expect((await hello('echo in')).stdout).toBe('in\n');
    await until('all but 128 are dropped', () => dropped >= 1_000 - 128);
    expect((await hello('echo in')).stdout).toBe('in\n');
    for (const { socket } of strangers) socket.destroy();
    expect(memoryMb(pid) - before).toBeLessThan(200);
  });

  it('of somebody who guesses locks him out, also from the right password, for a while', async () => {
    for (let i = 0; i < 5; i++)
      expect((await box.ssh('diego:other/0', 'true', { secret: `guess ${i}` })).code).toBe(255);
    const user = 'diego:hello/0';
    for (let i = 0; i < 5; i++) await box.ssh(user, 'true', { secret: `guess ${i}` });
    expect((await hello('true')).code).toBe(255);
    expect(stack.servers[0]?.log()).toContain('locked out after too many wrong credentials');
    await until('he may try again', async () => (await hello('true')).code === 0);
  });
});

describe('limits', () => {
  it('end what is idle, and leave what keeps itself alive; 50 sessions at once are fine, and the 52nd is one too many', async () => {
    const idle = begin('cat', {});
    const alive = begin('cat');
    const idleEnd = ended(idle);
    const aliveEnd = ended(alive);
    const many = await Promise.all(Array.from({ length: 50 }, (_, i) => hello(`echo ${i}; sleep 1`)));
    // The two that are held count as well, so that one or another of the fifty may have been refused.
    const outs = many.filter(({ code }) => code === 0).map(({ stdout }) => Number(stdout));
    expect(outs.length).toBeGreaterThanOrEqual(49);
    expect(new Set(outs).size).toBe(outs.length);
    expect((await idleEnd).code).toBe(255);
    expect(alive.exitCode).toBeNull();
    alive.stdin.end();
    expect((await aliveEnd).code).toBe(0);
  });

  it('recordings show what a terminal showed', async () => {
    const session = begin('stty size; echo on stage', KEEPALIVE, ['-tt']);
    await ended(session);
    const folder = join(keys, 'recordings');
    const lines = await until('it is written', () => {
      const texts = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8').trim().split('\n'));
      return texts.find((text) => text.some((line) => line.includes('on stage')));
    });
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      version: 2,
      width: 80,
      height: 24,
      title: 'operator in hello/0',
    });
    const [at, kind, text] = JSON.parse(lines.find((line) => line.includes('on stage')) ?? '');
    expect([typeof at, kind, text.includes('on stage\r\n')]).toEqual(['number', 'o', true]);
  });
});

describe('several proxies', () => {
  it('one of which does nothing else: it knows the codes and has the host key of all', async () => {
    const own = await freePort();
    const tls = await stack.authority.writeIdentity(keys, { role: 'server', name: 'proxy' });
    const proxy = new Program('proxy', 'server', stack.folder, {
      name: 'proxy',
      listen: `127.0.0.1:${await freePort()}`,
      servers: stack.addresses,
      roles: ['ssh'],
      database: { url: stack.databaseUrl },
      tls,
      ssh: { listen: `127.0.0.1:${own}`, hostKey: join(keys, 'host_key') },
    });
    proxy.start();
    try {
      const { hostKey } = await client.ssh.endpoint();
      const there = new SshClient(join(stack.folder, 'other'), own, hostKey);
      await until('it listens', () => proxy.log().includes('SSH listens'));
      const { code } = await client.ssh.createCode('hello');
      expect((await there.ssh('hello/0', 'echo there', { secret: code })).stdout).toBe('there\n');
      expect((await box.ssh('hello/0', 'true', { secret: code })).code).toBe(255);
    } finally {
      await proxy.stop();
    }
  });
});

// Of the container: ssh-farewell.test.ts.
describe('kill -9', () => {
  it('of the client ends its process', async () => {
    const session = begin('sleep 31001', KEEPALIVE, ['-tt']);
    await until('it runs', () => pidsOf('sleep', '31001').length > 0);
    session.kill('SIGKILL');
    await until('it has ended', () => pidsOf('sleep', '31001').length === 0);
  });

  it('of the agent tells the client why, and the next agent ends what was left', async () => {
    const session = begin('sleep 31003');
    const end = ended(session);
    await until('it runs', () => pidsOf('sleep', '31003').length > 0);
    await stack.cells[0]?.kill();
    expect(await end).toMatchObject({ code: 255, stderr: expect.stringContaining('rivera: ') });
    stack.cells[0]?.start();
    await until('it has ended', () => pidsOf('sleep', '31003').length === 0);
    await until('one gets in again', async () => (await hello('true')).code === 0);
  });

  it('of the proxy ends its sessions, and the next has the same key', async () => {
    const session = begin('sleep 31004');
    const end = ended(session);
    await until('it runs', () => pidsOf('sleep', '31004').length > 0);
    await stack.servers[0]?.kill();
    expect((await end).code).toBe(255);
    await until('it has ended', () => pidsOf('sleep', '31004').length === 0);
    stack.servers[0]?.start();
    await until(
      'one gets in again, where the host key is checked',
      async () => (await hello('echo back')).stdout === 'back\n',
    );
  });
});
