import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { buildBusyboxRootFs } from '@rivera/cells/garden/rootfs/busybox';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuthorityDouble } from '../stack/authority-double.js';
import { pidsOf } from '../stack/processes.js';
import { RIVERA } from '../stack/program.js';
import { SshClient, sha256 } from '../stack/ssh-client.js';
import { SSH_SECRET as secret } from '../stack/ssh-stack.js';
import { freePort, Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { container, webApp } from '../stack/work.js';

const run = promisify(execFile);
const APP = '7b0f9fba-6f2a-4a3c-9a64-1e8d7b8f0c11';
const ROUTES = { 'diego-ssh': '{"container_port":2222,"private_key":"hidden-in-the-route"}' };

let stack: Stack;
let client: RiveraClient;
let authority: AuthorityDouble;
let box: SshClient;
let keys: string;
let ports: { ssh: number; health: number; admin: number };

/** A root filesystem with rsync, and one with nothing at all. */
function addRootFs(folder: string): void {
  const rsync = join(folder, 'rsync');
  cpSync(join(folder, 'busybox'), rsync, { recursive: true, verbatimSymlinks: true });
  mkdirSync(join(folder, 'scratch'));
  const needed = execFileSync('ldd', ['/usr/bin/rsync'], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
  for (const file of ['/usr/bin/rsync', ...needed]) {
    mkdirSync(join(rsync, dirname(file)), { recursive: true });
    cpSync(file, join(rsync, file), { dereference: true });
  }
}

beforeAll(async () => {
  ports = { ssh: await freePort(), health: await freePort(), admin: await freePort() };
  const authorityPort = await freePort();
  keys = mkdtempSync(join(tmpdir(), 'rivera-ssh-keys-'));
  authority = await AuthorityDouble.start(authorityPort);
  authority.apps.set(APP, 'hello');
  stack = await Stack.start({
    cells: 0,
    server: {
      roles: ['bbs', 'auction', 'access', 'locket', 'ssh'],
      admin: { port: ports.admin },
      ssh: {
        // All addresses, so that a container can reach it too.
        listen: `0.0.0.0:${ports.ssh}`,
        advertise: `127.0.0.1:${ports.ssh}`,
        hostKey: join(keys, 'host_key'),
        healthListen: `127.0.0.1:${ports.health}`,
        diego: { enabled: true, credential: secret },
        disabledDomains: ['secret'],
        lockout: { failures: 100 },
        cf: {
          enabled: true,
          tokenUrl: `http://127.0.0.1:${authorityPort}/oauth/token`,
          clientSecret: 'hush',
          authority: `http://127.0.0.1:${authorityPort}`,
        },
      },
    },
  });
  await buildBusyboxRootFs(join(stack.folder, 'rootfs', 'busybox'));
  addRootFs(join(stack.folder, 'rootfs'));
  await stack.addCell();
  client = await stack.client();
  const { hostKey } = await client.ssh.endpoint();
  box = new SshClient(join(stack.folder, 'client'), ports.ssh, hostKey);
  const big = container({ logGuid: 'hello', diskMb: 512, rootFs: 'preloaded:rsync', memoryMb: 128 });
  await client.desiredLrps.desire(webApp('hello', 1, { routes: ROUTES, container: big } as never));
  await client.desiredLrps.desire(webApp('closed', 1));
  await client.desiredLrps.desire(webApp('hidden', 1, { routes: ROUTES, domain: 'secret' } as never));
  const nothing = { container: container({ rootFs: 'preloaded:scratch' }), ports: [], checkDefinition: undefined };
  const action = {
    action: { $case: 'runAction', value: { path: '/.rivera/busybox', args: ['sleep', '9999'], user: '1234:1234' } },
  };
  await client.desiredLrps.desire(webApp('scratch', 1, { routes: ROUTES, ...nothing, action } as never));
  for (const name of ['hello', 'closed', 'hidden', 'scratch']) {
    await client.actualLrps.waitForRunning(name, { timeoutMs: 60_000 });
  }
}, 180_000);
afterAll(async () => {
  await stack?.close();
  await authority?.close();
  rmSync(keys, { recursive: true, force: true });
}, 120_000);

const hello = (command: string, o: Parameters<SshClient['ssh']>[2] = {}) =>
  box.ssh('diego:hello/0', command, { secret, ...o });
const rivera = async (...args: string[]) =>
  run(process.execPath, [RIVERA, ...args], { env: await stack.cliEnvironment() });
const server = () => stack.servers[0]?.log() ?? '';

describe('a login', () => {
  it('is refused in one voice, and the record alone says why', async () => {
    for (const [user, password, why] of [
      ['diego:hello/0', 'wrong', 'Invalid credentials'],
      ['diego:hello/7', secret, 'no matching ActualLRP for ProcessGuid: hello, Index: 7'],
      ['diego:unknown/0', secret, 'no matching ActualLRP for ProcessGuid: unknown'],
      ['xdiego:hello/0', secret, 'Invalid user format'],
      ['diego:closed/0', secret, 'SSH routing info not found'],
      ['diego:hidden/0', secret, 'SSH Disabled for domain secret'],
      ['hello/0', 'no such code', 'the code is wrong'],
    ] as const) {
      const { code, stderr, stdout } = await box.ssh(user, 'true', { secret: password });
      const methods = user === 'hello/0' ? 'publickey,password' : 'password';
      expect({ user, code, stdout, stderr }).toEqual({
        user,
        code: 255,
        stdout: '',
        stderr: `${user}@127.0.0.1: Permission denied (${methods}).\r\n`,
      });
      expect(server()).toContain(why);
    }
  });

  it('as cf: asks once for a token and once for access, and a code is good once', async () => {
    authority.codes.set('one-time', 'somebody@example.org');
    authority.asked.length = 0;
    expect(await box.ssh(`cf:${APP}/0`, 'echo in', { secret: 'one-time' })).toMatchObject({ code: 0, stdout: 'in\n' });
    expect(authority.asked).toEqual(['/oauth/token', `/internal/apps/${APP}/ssh_access/0`]);
    expect((await box.ssh(`cf:${APP}/0`, 'true', { secret: 'one-time' })).code).toBe(255);
    authority.codes.set('another', 'somebody@example.org');
    expect((await box.ssh(`cf:${APP.replace('7', '8')}/0`, 'true', { secret: 'another' })).code).toBe(255);
    expect(server()).toContain('"who":"somebody@example.org"');
  });

  it('by a code, by a registered key, and by `rivera ssh`', async () => {
    const code = (await rivera('ssh-code', 'hello')).stdout.trim();
    expect(await box.ssh('hello/0', 'echo in', { secret: code })).toMatchObject({ code: 0, stdout: 'in\n' });
    expect((await box.ssh('hello/0', 'true', { secret: code })).code).toBe(255);
    const other = (await rivera('ssh-code', 'closed')).stdout.trim();
    expect((await box.ssh('hello/0', 'true', { secret: other })).code).toBe(255);

    const key = join(stack.folder, 'key');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'jo', '-f', key]);
    const byKey = { extra: { IdentityFile: key, PasswordAuthentication: 'no' } };
    expect((await box.ssh('hello/0', 'true', byKey)).code).toBe(255);
    const fingerprint = (await rivera('ssh-key', 'add', `${key}.pub`, '--process', 'hello')).stdout.trim();
    expect(await box.ssh('hello/0', 'echo key', byKey)).toMatchObject({ code: 0, stdout: 'key\n' });
    expect((await box.ssh('scratch/0', 'true', byKey)).code).toBe(255);
    expect((await rivera('ssh-key', 'list')).stdout).toContain(fingerprint);
    await rivera('ssh-key', 'rm', fingerprint);
    expect((await box.ssh('hello/0', 'true', byKey)).code).toBe(255);

    await expect(rivera('ssh', 'hello/0', '--', 'echo here; exit 7')).rejects.toMatchObject({
      code: 7,
      stdout: 'here\n',
    });
    const config = JSON.parse((await rivera('ssh-config', 'hello/0', '--json')).stdout);
    const known = execFileSync('ssh-keygen', ['-l', '-f', box.knownHosts], { encoding: 'utf8' });
    expect(known).toContain(config.fingerprint);
    writeFileSync(join(stack.folder, 'ssh_config'), (await rivera('ssh-config', 'hello/0')).stdout);
    const inConfig = await box.run('ssh', ['-F', join(stack.folder, 'ssh_config'), 'hello-0', 'echo block'], {
      secret: (await rivera('ssh-code', 'hello')).stdout.trim(),
    });
    expect(inConfig).toMatchObject({ code: 0, stdout: 'block\n' });
  });

  it('needs modern algorithms, and gets AES-GCM with a strict key exchange', async () => {
    for (const extra of [
      { Ciphers: '3des-cbc' },
      { KexAlgorithms: 'diffie-hellman-group1-sha1' },
      { HostKeyAlgorithms: 'ssh-rsa' },
    ]) {
      expect((await hello('true', { extra: extra as never })).code).toBe(255);
    }
    const { stderr } = await hello('true', { extra: { LogLevel: 'DEBUG3' } });
    expect(stderr).toMatch(/server->client cipher: aes128-gcm@openssh.com/);
    expect(stderr).toMatch(/will use strict KEX ordering/);
  });
});

describe('a session', () => {
  it('has its own streams, variables, exit codes and signals', async () => {
    expect(await hello('echo out; echo err >&2; exit 3')).toEqual({ code: 3, stdout: 'out\n', stderr: 'err\n' });
    const merged = await hello('echo out; echo err >&2', { flags: ['-tt'] });
    expect(merged).toMatchObject({ stderr: '', stdout: 'out\r\nerr\r\n' });
    const env = { FOO: 'bar', HOME: '/nowhere', INSTANCE: 'x' };
    const said = await hello('echo "$FOO $HOME $USER $INSTANCE_INDEX"', { env, flags: ['-o', 'SendEnv=FOO HOME'] });
    expect(said.stdout).toBe('bar /root root 0\n');
    const killed = await hello('kill -TERM $$', { extra: { LogLevel: 'DEBUG1' } });
    expect(killed.code).toBe(255);
    expect(killed.stderr).toContain('exit-signal');
    expect((await box.run('ssh', [...box.options('diego:hello/0'), '-s', 'box', 'foo'], { secret })).stderr).toContain(
      'subsystem request failed',
    );
    expect((await hello('cat', { input: 'through and through' })).stdout).toBe('through and through');
  });

  it('under tmux: size, resizing, Ctrl-C, an editor that fills the screen', async () => {
    const socket = join(stack.folder, 'tmux');
    const tmux = (...args: string[]) =>
      execFileSync('tmux', ['-S', socket, '-f', '/dev/null', ...args], {
        encoding: 'utf8',
        env: box.environment(secret),
      });
    const sees = (text: string | RegExp) =>
      until(`the screen shows ${text}`, () => {
        const screen = tmux('capture-pane', '-p');
        if (typeof text === 'string' ? screen.includes(text) : text.test(screen)) return screen;
        throw new Error(screen);
      });
    const command = ['ssh', ...box.options('diego:hello/0'), 'box'].map((word) => `'${word}'`).join(' ');
    tmux('new-session', '-d', '-x', '100', '-y', '40', `${command}; echo ended $?; sleep 1000`);
    try {
      await sees(/[#$]$/m);
      tmux('send-keys', 'stty size', 'Enter');
      await sees(/^40 100|^39 100/m);
      tmux('resize-window', '-x', '90', '-y', '30');
      tmux('send-keys', 'clear; stty size', 'Enter');
      await sees(/ 90$/m);
      tmux('send-keys', 'sleep 31005', 'Enter');
      // Before, it would be for the shell, which throws it away with what was typed.
      await until('it runs', () => pidsOf('sleep', '31005').length > 0);
      tmux('send-keys', 'C-c');
      tmux('send-keys', 'echo sum $((40 + 2))', 'Enter');
      await sees('sum 42');
      tmux('send-keys', 'vi /tmp/note', 'Enter');
      await sees('~\n~\n~');
      tmux('send-keys', 'ihello from vi');
      await sees('hello from vi');
      tmux('send-keys', 'Escape');
      // In insert mode the line at the bottom begins with an I.
      await sees(/^- .*note/m);
      tmux('send-keys', ':wq', 'Enter');
      await sees(/[#$]$/m);
      tmux('send-keys', 'clear; cat /tmp/note; echo; echo shown', 'Enter');
      await sees(/hello from vi\s+shown/);
      tmux('send-keys', 'exit 5', 'Enter');
      await sees('ended 5');
    } finally {
      tmux('kill-server');
    }
  });

  it("is told in the application's log, the metrics, the record and the health port", async () => {
    const held = box.begin('ssh', [...box.options('diego:hello/0'), '-N', 'box'], secret);
    const metric = async () =>
      /^ssh-connections (\d+)|^rivera_ssh_connections (\d+)/m.exec(
        await (await fetch(`http://127.0.0.1:${ports.admin}/metrics`)).text(),
      );
    await until('it counts one', async () => (await metric())?.[0]?.endsWith(' 1'));
    held.kill();
    await until('it counts none', async () => (await metric())?.[0]?.endsWith(' 0'));
    expect((await fetch(`http://127.0.0.1:${ports.health}/`)).status).toBe(200);
    const lines: string[] = [];
    await until('the log tells of both', async () => {
      lines.length = 0;
      for await (const entry of client.logs({ processGuid: 'hello', source: 'SSH' }))
        lines.push(entry.payload.toString());
      return lines.some((line) => line.startsWith('Remote access ended for 127.0.0.1:'));
    });
    expect(lines.some((line) => /^Successful remote access by 127\.0\.0\.1:\d+$/.test(line))).toBe(true);
    for (const fact of ['"ssh":"login"', '"ssh":"channel-end"', '"command":"kill -TERM $$"', '"up":', '"ms":']) {
      expect(server()).toContain(fact);
    }
    for (const hidden of [secret, 'hidden-in-the-route', 'one-time"']) expect(server()).not.toContain(hidden);
  });
});

describe('files', () => {
  const scp = (...args: string[]) => box.run('scp', [...box.options('diego:hello/0'), ...args], { secret });

  it('of 100 MB arrive whole, by scp and sftp, up and down', async () => {
    const file = join(stack.folder, 'big');
    execFileSync('dd', ['if=/dev/urandom', `of=${file}`, 'bs=1M', 'count=100', 'status=none']);
    const sum = await sha256(file);
    expect(await scp(file, 'box:/tmp/by-scp')).toMatchObject({ code: 0, stderr: '' });
    expect((await hello('sha256sum /tmp/by-scp')).stdout).toContain(sum);
    const batch = `get /tmp/by-scp ${file}.sftp\nrm /tmp/by-scp\nput ${file}.sftp /tmp/by-sftp\npwd\nls -l /tmp/by-sftp\n`;
    const sftp = await box.run('sftp', box.options('diego:hello/0').concat('box'), { secret, input: batch });
    expect(sftp).toMatchObject({ code: 0 });
    expect(sftp.stdout).toContain('Remote working directory: /root');
    expect(sftp.stdout).toMatch(/104857600 .* \/tmp\/by-sftp/);
    expect(await sha256(`${file}.sftp`)).toBe(sum);
    expect(await scp('box:/tmp/by-sftp', `${file}.back`)).toMatchObject({ code: 0, stderr: '' });
    expect(await sha256(`${file}.back`)).toBe(sum);
    await hello('rm /tmp/by-*');
  }, 180_000);

  it('keep modes and times in whole trees, in both protocols, also without anything in the image', async () => {
    const tree = join(stack.folder, 'tree');
    mkdirSync(join(tree, 'below'), { recursive: true });
    writeFileSync(join(tree, 'below', 'tool'), 'content', { mode: 0o751 });
    utimesSync(join(tree, 'below', 'tool'), 1_500_000_000, 1_500_000_000);
    for (const [user, flags] of [
      ['diego:hello/0', []],
      ['diego:hello/0', ['-O']],
      ['diego:scratch/0', []],
      ['diego:scratch/0', ['-O']],
    ] as const) {
      const back = join(stack.folder, `back-${user.replace(/\W/g, '')}${flags.join('')}`);
      const copy = (...args: string[]) => box.run('scp', [...box.options(user), ...flags, ...args], { secret });
      const there = `/tmp/tree${flags.join('')}`;
      // Nobody but root may write in an image that has no /tmp of everybody's.
      const target = user.includes('scratch') ? `/dev/shm/tree${flags.join('')}` : there;
      expect(await copy('-rp', tree, `box:${target}`)).toMatchObject({ code: 0, stderr: '' });
      expect(await copy('-rp', `box:${target}`, back)).toMatchObject({ code: 0, stderr: '' });
      const { mode, mtimeMs } = statSync(join(back, 'below', 'tool'));
      expect({ user, mode: mode & 0o777, mtimeMs }).toEqual({ user, mode: 0o751, mtimeMs: 1_500_000_000_000 });
      expect((await copy(`box:${target}`, `${back}-no-r`)).code).toBe(1);
    }
  });

  it('by rsync where the image has it, and by `rivera cp` everywhere', async () => {
    const tree = join(stack.folder, 'synced');
    mkdirSync(tree);
    writeFileSync(join(tree, 'one'), 'first');
    const remote = ['ssh', ...box.options('diego:hello/0')].join(' ');
    const sync = () =>
      box.run('rsync', ['-a', '--itemize-changes', '-e', remote, `${tree}/`, 'box:/tmp/synced/'], { secret });
    expect(await sync()).toMatchObject({ code: 0, stdout: expect.stringContaining('one') });
    writeFileSync(join(tree, 'two'), 'second');
    const second = await sync();
    expect(second.stdout).toContain('two');
    expect(second.stdout).not.toContain('one');

    await rivera('cp', tree, 'hello/0:/tmp/');
    await rivera('cp', join(tree, 'one'), 'scratch:/dev/shm/called-so');
    await rivera('cp', 'hello:/tmp/synced', join(stack.folder, 'again'));
    expect(readFileSync(join(stack.folder, 'again', 'two'), 'utf8')).toBe('second');
    await rivera('cp', 'scratch:/dev/shm/called-so', `${stack.folder}/`);
    expect(readFileSync(join(stack.folder, 'called-so'), 'utf8')).toBe('first');
  });
});

describe('forwarding', () => {
  const held: ReturnType<SshClient['begin']>[] = [];
  const hold = (...flags: string[]) => {
    const told = { ExitOnForwardFailure: 'yes', LogLevel: 'INFO' };
    const child = box.begin('ssh', [...box.options('diego:hello/0', told), ...flags, '-N', 'box'], secret);
    held.push(child);
    return child;
  };
  afterAll(() => {
    for (const child of held) child.kill();
  });

  it('reaches a server that only the container can, one by one and as a SOCKS proxy', async () => {
    await hello('mkdir -p /w; echo inside > /w/x; httpd -p 127.0.0.1:9090 -h /w');
    const [local, socks] = [await freePort(), await freePort()];
    hold('-L', `${local}:127.0.0.1:9090`, '-D', String(socks), '-L', `${await freePort()}:127.0.0.1:1`);
    const page = await until('it answers', async () => (await fetch(`http://127.0.0.1:${local}/x`)).text());
    expect(page).toBe('inside\n');
    const { stdout } = await run('curl', ['-sS', '--socks5-hostname', `127.0.0.1:${socks}`, 'http://localhost:9090/x']);
    expect(stdout).toBe('inside\n');
    const refused = await run('curl', ['-sS', '--socks5', `127.0.0.1:${socks}`, 'http://127.0.0.1:2/']).catch(
      (error) => error,
    );
    expect(refused.code).not.toBe(0);
    expect(server()).toContain('connect ECONNREFUSED 127.0.0.1:2');
    expect((await hello('', { flags: ['-W', '127.0.0.1:2'] })).stderr).toContain('stdio forwarding failed');
  });

  it('brings connections back out, from a port of the container that it chose', async () => {
    const web = createServer((_request, response) => response.end('outside'));
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
    const port = (web.address() as { port: number }).port;
    const child = hold('-R', `0:127.0.0.1:${port}`);
    let told = '';
    child.stderr.on('data', (chunk) => {
      told += chunk;
    });
    const chosen = await until('it tells the port', () => /Allocated port (\d+)/.exec(told)?.[1]);
    expect((await hello(`wget -qO- http://127.0.0.1:${chosen}/`)).stdout).toBe('outside');
    child.kill();
    await until('the port is closed', async () => (await hello(`nc -z 127.0.0.1 ${chosen}`)).code !== 0);
    web.close();
  });

  it('lets a container be the way to the next', async () => {
    const gateway = (await hello("ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'")).stdout.trim();
    const { hostKey } = await client.ssh.endpoint();
    writeFileSync(box.knownHosts, `[127.0.0.1]:${ports.ssh} ${hostKey}\n[${gateway}]:${ports.ssh} ${hostKey}\n`);
    const config = join(stack.folder, 'jump');
    const common = `UserKnownHostsFile ${box.knownHosts}\n  Port ${ports.ssh}\n  IdentityFile none\n`;
    writeFileSync(
      config,
      `Host first\n  HostName 127.0.0.1\n  User diego:hello/0\n  ${common}Host second\n  HostName ${gateway}\n  User diego:scratch/0\n  ProxyJump first\n  ${common}`,
    );
    expect(await box.run('ssh', ['-F', config, 'second', 'echo through; id -u'], { secret })).toMatchObject({
      code: 0,
      stdout: 'through\n1234\n',
    });
  });
});
