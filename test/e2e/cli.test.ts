import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RIVERA } from '../stack/program.js';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { webApp } from '../stack/work.js';

let stack: Stack;
let client: RiveraClient;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  stack = await Stack.start({ server: { bbs: { taskRetryBackoff: '100ms', callbackRetention: '1s' } } });
  client = await stack.client();
  env = await stack.cliEnvironment();
  await client.desiredLrps.desire(webApp('web', 2));
  await client.actualLrps.waitForRunning('web', { instances: 2, timeoutMs: 60_000 });
}, 120_000);
afterAll(() => stack?.close(), 120_000);

interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, or until `enough` is said, when it is interrupted. */
function say(command: string, args: string[], options: { input?: string; enough?: RegExp } = {}): Promise<Said> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data: Buffer) => {
      stdout += data.toString();
      if (options.enough?.test(stdout)) child.kill('SIGINT');
    });
    child.stderr.on('data', (data: Buffer) => {
      stderr += data.toString();
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
    child.stdin.end(options.input);
  });
}

const rivera = (...args: string[]) => say(process.execPath, [RIVERA, ...args]);

describe('rivera task run', () => {
  it('prints what the command writes and ends as it did', async () => {
    expect(await rivera('task', 'run', '--', 'echo', 'hello')).toMatchObject({ code: 0, stdout: 'hello\n' });
    const failed = await rivera('task', 'run', '--', 'sh', '-c', 'echo oops >&2; exit 3');
    expect(failed).toMatchObject({ code: 1 });
    expect(failed.stderr).toMatch(/oops[\s\S]*Exited with status 3/);
  });

  it('says why nothing can hold it', async () => {
    const said = await rivera('task', 'run', '--rootfs', 'preloaded:windows', '--timeout', '60s', '--', 'true');
    expect(said.code).toBe(1);
    expect(said.stderr).toContain('found no compatible cell for required rootfs');
  });
});

describe('rivera lrp run', () => {
  it('fails with the reason when the command keeps ending, and runs what stays', async () => {
    const bad = await rivera('lrp', 'run', 'bad', '--', 'false');
    expect(bad.code).toBe(1);
    expect(bad.stderr).toContain(
      'bad keeps crashing: 0 of 1 instance running\n  #0 crashed 3 times: APP: Exited with status 1',
    );
    const good = await rivera('lrp', 'run', 'good', '--', 'sleep', '1000');
    expect(good).toMatchObject({ code: 0, stderr: expect.stringContaining('good: 1 instance running') });
    expect((await rivera('lrp', 'rm', 'bad', 'good')).code).toBe(0);
    expect(JSON.parse((await rivera('lrp', 'show', 'web', '--json')).stdout).actualLrps).toHaveLength(2);
    expect((await rivera('events', '--process', 'good', '--process', 'bad')).stdout).toBe('');
  }, 60_000);
});

describe('rivera explain', () => {
  const told = async (name: string) => (await rivera('explain', name)).stdout;

  it('tells what runs where, what crashes, and what has no place; reset tries what crashed again', async () => {
    expect(await told('web/0')).toMatch(
      /#0 has been running on cell-1 for \d+s, at [\d.]+:\d+\.\n\nNext:\n {2}rivera logs/,
    );
    await rivera('lrp', 'run', 'flaky', '--', 'false');
    expect(await told('flaky')).toMatch(
      /#0 has crashed 3 times and pauses: it is tried again in \d+s\.\n {3}Its latest crashes:\n( {5}.* on cell-1 .*: APP: Exited with status 1\n){3}/,
    );
    expect(await rivera('lrp', 'reset', 'flaky')).toMatchObject({
      code: 0,
      stderr: 'flaky: 1 crashed instance tried again\n',
    });
    await rivera('lrp', 'run', 'homeless', '--no-wait', '--rootfs', 'preloaded:windows', '--', 'true');
    const homeless = await until('it has been offered', async () => {
      const story = await told('homeless');
      return story.includes('No cell takes it') ? story : undefined;
    });
    expect(homeless).toContain('No cell takes it: found no compatible cell for required rootfs.');
    expect(homeless).toMatch(/1 cell: .* \(cell-1\)\n {3}It is offered to the cells again (in \d+s|now)\./);
    expect((await rivera('lrp', 'rm', 'flaky', 'homeless')).code).toBe(0);
  }, 60_000);

  it('tells whose callback was given up, and it can be tried again once somebody listens', async () => {
    const receiver = createServer((_, response) => response.end());
    const listening = (port: number) =>
      new Promise<void>((resolve) => receiver.listen(port, '127.0.0.1', () => resolve()));
    await listening(0);
    const { port } = receiver.address() as AddressInfo;
    await new Promise((resolve) => receiver.close(resolve));
    const callback = `http://127.0.0.1:${port}/`;
    await rivera('task', 'run', '--name', 'unheard', '--callback', callback, '--', 'true');
    const letters = await until('it is a dead letter', async () => {
      const { stdout } = await rivera('task', 'list', '--dead-letters');
      return stdout.includes('unheard') ? stdout : undefined;
    });
    expect(letters).toMatch(new RegExp(`unheard +cli +succeeded +\\d+s +\\d +connect ECONNREFUSED 127.0.0.1:${port}`));
    expect(await told('unheard')).toMatch(/Nobody could be told\. .*\nIt is a dead letter, .* forgotten in 6d\./);
    await listening(port);
    expect((await rivera('task', 'retry-callback', 'unheard')).code).toBe(0);
    await until('it is delivered', async () => ((await rivera('explain', 'unheard')).code === 4 ? true : undefined));
    await new Promise((resolve) => receiver.close(resolve));
  }, 60_000);
});

describe('rivera exec', () => {
  it('passes input, output and the exit code through', async () => {
    const args = [RIVERA, 'exec', '-i', 'web/1', '--', 'sh', '-c', 'cat; echo err >&2; exit 7'];
    expect(await say(process.execPath, args, { input: 'in\n' })).toEqual({ code: 7, stdout: 'in\n', stderr: 'err\n' });
  });

  it('gives a terminal of the right size', async () => {
    const command = `stty rows 33 cols 99; ${process.execPath} ${RIVERA} exec -it web -- sh -c 'tty; stty size; exit 5'`;
    const { code, stdout } = await say('script', ['-qec', command, '/dev/null']);
    expect(stdout).toMatch(/\/dev\/pts\/\d+/);
    expect(stdout).toContain('33 99');
    expect(code).toBe(5);
  });

  it('names what is near when there is no such thing', async () => {
    const said = await rivera('exec', 'wep', '--', 'true');
    expect(said.code).toBe(4);
    expect(said.stderr).toMatch(/web/);
  });
});

describe('rivera logs', () => {
  it('shows the lines of all instances with source and index, and follows', async () => {
    const past = await until('there are lines of both', async () => {
      const { stdout } = await rivera('logs', 'web');
      return /CELL\/0\]/.test(stdout) && /CELL\/1\]/.test(stdout) ? stdout : undefined;
    });
    expect(past).toMatch(/\[CELL\/0\]\s+OUT Cell cell-1 successfully created container/);
    const follower = say(process.execPath, [RIVERA, 'logs', 'web', '-f', '--index', '0'], {
      enough: /stopping instance/,
    });
    await rivera('lrp', 'restart', 'web', '--index', '0');
    expect((await follower).stdout).toMatch(/\[CELL\/0\]\s+OUT Cell cell-1 stopping instance/);
  }, 60_000);
});

describe('rivera lrp and events', () => {
  it('scales, shows and removes, and tells what happened', async () => {
    const watching = say(process.execPath, [RIVERA, 'events', '--follow', '--json'], { enough: /desiredLrpRemoved/ });
    expect((await rivera('lrp', 'scale', 'web', '3')).code).toBe(0);
    const listed = JSON.parse((await rivera('lrp', 'list', '--json')).stdout.split('\n')[0] ?? '{}');
    expect(JSON.stringify(listed)).toContain('"web"');
    expect((await rivera('lrp', 'show', 'web')).stdout).toMatch(/running/i);
    expect((await rivera('cells')).stdout).toMatch(/cell-1/);
    expect((await rivera('lrp', 'rm', 'web')).code).toBe(0);
    const { stdout } = await watching;
    for (const line of stdout.trim().split('\n')) expect(() => JSON.parse(line)).not.toThrow();
    expect(stdout).toContain('actualLrpChanged');
  }, 90_000);
});
