import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { EventServiceService as events } from '@rivera/gen/rivera/bbs/v1/event_service';
import { TaskServiceService as tasks } from '@rivera/gen/rivera/bbs/v1/task_service';
import type { FakeServer } from '@rivera/sdk/testing/fake-server';
import { Setting } from '@rivera/sdk/testing/setting';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXIT } from './failures.js';
import { environmentOf, task } from './testing/fake-installation.js';

/** The program as it is, in a process of its own. */
const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const NODE_ARGS = ['--conditions=source', '--import', 'tsx', MAIN];

let setting: Setting;
let server: FakeServer;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  setting = await Setting.make();
  server = await setting.server();
  env = { PATH: process.env.PATH, HOME: '/nonexistent', ...environmentOf(server, setting.clientFiles) };
});
afterAll(() => setting.end());

interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

function start(command: string, args: string[], environment = env) {
  const child = spawn(command, args, { cwd: ROOT, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output.stderr += chunk;
  });
  const ended = new Promise<Ended>((resolve) =>
    child.once('close', (code, signal) => resolve({ code, signal, ...output })),
  );
  return { child, ended };
}

const rivera = (...args: string[]) => start(process.execPath, [...NODE_ARGS, ...args]);

describe('the program', () => {
  it('ends with the command’s exit code', async () => {
    const runs = await Promise.all([
      rivera('version').ended,
      rivera('nonsense').ended,
      rivera('lrp', 'scale', 'x').ended,
      start(process.execPath, [...NODE_ARGS, 'cells'], { PATH: process.env.PATH, HOME: '/nonexistent' }).ended,
    ]);
    expect(runs.map(({ code }) => code)).toEqual([EXIT.ok, EXIT.unknownCommand, EXIT.usage, EXIT.usage]);
    expect(runs[0]?.stdout).toMatch(/^rivera /);
  });

  it('ends quietly when its reader has seen enough', async () => {
    const many = Array.from({ length: 900 }, (_, i) => task({ taskGuid: `task-${i}`, annotation: 'x'.repeat(900) }));
    server.unary(tasks.listTasks, () => ({ tasks: many, nextPageToken: '', revision: 1 }));
    const script = '"$@" | head -n 1; echo $PIPESTATUS';
    const command = [process.execPath, ...NODE_ARGS, 'task', 'list', '--json'];
    const { stdout, stderr } = await start('bash', ['-c', script, 'bash', ...command]).ended;
    const [first, status] = stdout.trimEnd().split('\n');
    expect(JSON.parse(first ?? '')).toMatchObject({ taskGuid: 'task-0' });
    expect({ status, stderr }).toEqual({ status: '0', stderr: '' });
  });

  it('ends a stream with 130 on Ctrl-C', async () => {
    server.streaming(events.watch, async (call) => {
      call.write({ snapshotRecords: [], snapshotComplete: true, events: [], resumeToken: '1', revision: 1 });
      await new Promise<void>((resolve) => call.once('cancelled', () => resolve()));
    });
    const { child, ended } = rivera('events', '--follow', '--json');
    child.stdout.once('data', () => child.kill('SIGINT'));
    expect(await ended).toMatchObject({ code: EXIT.interrupted, signal: null, stderr: '' });
  });

  it('writes no colours into a pipe', async () => {
    server.unary(tasks.listTasks, () => ({ tasks: [task()], nextPageToken: '', revision: 1 }));
    const { stdout } = await rivera('task', 'list').ended;
    expect(stdout).toContain('running');
    expect(stdout).not.toContain('\u001b');
  });
});
