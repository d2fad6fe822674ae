import { join } from 'node:path';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allPids, pidsOf, procFile, procLink } from '../stack/processes.js';
import { Program } from '../stack/program.js';
import { type Ended, ended, SshClient } from '../stack/ssh-client.js';
import { SSH_SECRET, SshStack, sshSettings } from '../stack/ssh-stack.js';
import { freePort, type Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';

let proxied: SshStack;
let stack: Stack;
let client: RiveraClient;
let box: SshClient;
let keys: string;
const proxies: Program[] = [];

beforeAll(async () => {
  proxied = await SshStack.start({ apps: ['one', 'two'], cells: 2 });
  ({ stack, client, box, folder: keys } = proxied);
}, 120_000);
afterAll(async () => {
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  await proxied?.close();
}, 120_000);

/** A proxy of its own, with settings of its own. */
async function proxyWith(settings: object): Promise<{ proxy: Program; there: SshClient }> {
  const name = `proxy-${proxies.length}`;
  const port = await freePort();
  const proxy = new Program(name, 'server', stack.folder, {
    name,
    listen: `127.0.0.1:${await freePort()}`,
    servers: stack.addresses,
    roles: ['ssh'],
    database: { url: stack.databaseUrl },
    tls: await stack.authority.writeIdentity(keys, { role: 'server', name }),
    ssh: { ...sshSettings(port, keys), ...settings },
  });
  proxies.push(proxy);
  proxy.start();
  await until('it listens', () => proxy.log().includes('SSH listens'));
  return { proxy, there: new SshClient(join(stack.folder, name), port, (await client.ssh.endpoint()).hostKey) };
}

interface Shell {
  readonly end: Promise<Ended>;
  /** Of a process that runs in the shell, on this machine. */
  readonly pid: number;
  readonly child: ReturnType<SshClient['begin']>;
}

let marks = 32_000 + (process.pid % 1_000) * 10;

/** Somebody at a shell with a terminal, in which something runs. */
async function shellIn(name: string, through = box): Promise<Shell> {
  const mark = String(++marks);
  const args = [...through.options(`diego:${name}/0`, { ServerAliveInterval: '60' }), '-tt', 'box'];
  const child = through.begin('ssh', args, SSH_SECRET);
  const end = ended(child);
  child.stdin.write(`sleep ${mark}\n`);
  const pid = await until('it runs', () => pidsOf('sleep', mark)[0]);
  return { end, pid, child };
}

/** The first process of the container that a process is in. */
function initOf(pid: number): number {
  const own = procLink(pid, 'ns/pid');
  const found = allPids().find(
    (each) => procLink(each, 'ns/pid') === own && /^NSpid:.*\t1$/m.test(procFile(each, 'status')),
  );
  if (own === '' || found === undefined || found === 1) throw new Error(`process ${pid} is in no container`);
  return found;
}

/** Waits until an instance runs that one can log into. */
const again = (name: string) =>
  until('another runs', async () => (await box.ssh(`diego:${name}/0`, 'true', { secret: SSH_SECRET })).code === 0);

const farewell = (why: string | RegExp) => ({
  code: 255,
  stderr: expect.stringMatching(typeof why === 'string' ? new RegExp(`^\r\nrivera: ${why}\r\n$`) : why),
});

describe('people at a shell are told in one line', () => {
  it("that the container's first process was killed", async () => {
    const { end, pid } = await shellIn('one');
    process.kill(initOf(pid), 'SIGKILL');
    expect(await end).toMatchObject(farewell('the instance ended: .*'));
    await again('one');
  });

  it('that the application has crashed', async () => {
    const { end, pid } = await shellIn('one');
    const app = allPids().find(
      (each) => procFile(each, 'cmdline').startsWith('httpd\0') && initOf(each) === initOf(pid),
    );
    process.kill(Number(app), 'SIGKILL');
    expect(await end).toMatchObject(farewell('the instance ended: .*status 137.*'));
    await again('one');
  });

  it('that the instance was restarted, and that the LRP was removed', async () => {
    const first = await shellIn('one');
    await client.actualLrps.retire('one', 0);
    expect(await first.end).toMatchObject(farewell('the instance was stopped'));
    await again('one');
    const second = await shellIn('one');
    await client.desiredLrps.remove('one');
    expect(await second.end).toMatchObject(farewell('the instance was stopped'));
  });

  it('that nothing moved for too long', async () => {
    const { there } = await proxyWith({ idleTimeout: '2s' });
    const { end } = await shellIn('two', there);
    expect(await end).toMatchObject(farewell('nothing moved on this connection for 2 seconds'));
  });

  it('that the proxy stops, and so are those who only forward ports', async () => {
    const { proxy, there } = await proxyWith({});
    const { end } = await shellIn('two', there);
    const held = there.begin('ssh', [...there.options('diego:two/0'), '-N', 'box'], SSH_SECRET);
    const heldEnd = ended(held);
    await until('both are in', () => proxy.log().split('"ssh":"login"').length === 3);
    await proxy.stop();
    expect(proxy.exitCode).toBe(0);
    expect(await end).toMatchObject(farewell('the SSH proxy is stopping: log in again'));
    expect(await heldEnd).toMatchObject({
      code: 255,
      stderr: expect.stringContaining('the SSH proxy is stopping: log in again'),
    });
    expect(proxy.log().split('"ssh":"logout"').length).toBe(3);
    expect(proxy.log()).toContain('"ssh":"channel-end"');
  });

  it('that their cell is being evacuated', async () => {
    const { end } = await shellIn('two');
    const [instance] = await client.actualLrps.get('two', 0);
    await client.cells.evacuate(instance?.cellId ?? '');
    expect(await end).toMatchObject(farewell('the instance was stopped, as its cell is being evacuated'));
    await again('two');
  });

  it('that the agent of their cell was lost', async () => {
    const { end } = await shellIn('two');
    const [instance] = await client.actualLrps.get('two', 0);
    const agent = stack.cells.find(({ name }) => name === instance?.cellId);
    await agent?.kill();
    expect(await end).toMatchObject(farewell(`contact with cell ${instance?.cellId} was lost: log in again`));
    agent?.start();
    await again('two');
  });
});

describe('a client that was stopped', () => {
  it('is dropped, and its process with it; one that asks itself is answered', async () => {
    const { proxy, there } = await proxyWith({ keepaliveInterval: '2s' });
    const asking = { ServerAliveInterval: '1', ServerAliveCountMax: '3' };
    const lively = there.begin('ssh', [...there.options('diego:two/0', asking), 'box', 'cat'], SSH_SECRET);
    const { child, end, pid } = await shellIn('two', there);
    child.kill('SIGSTOP');
    await until('it is dropped', () => proxy.log().includes('"why":"Keepalive timeout"'));
    await until('its process has ended', () => procFile(pid, 'cmdline') === '');
    child.kill('SIGCONT');
    expect((await end).code).toBe(255);
    const livelyEnd = ended(lively);
    lively.stdin.end('still here');
    expect(await livelyEnd).toMatchObject({ code: 0, stdout: 'still here' });
  });
});
