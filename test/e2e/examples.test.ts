import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectWithSdk } from '../docs/sdk-project.js';
import { ROOT } from '../stack/program.js';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { instancesOf, task, webApp } from '../stack/work.js';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'rivera-examples-'));
let stack: Stack;
let client: RiveraClient;
let project: string;

beforeAll(async () => {
  [stack, project] = await Promise.all([Stack.start(), projectWithSdk(folder)]);
  cpSync(join(ROOT, 'sdk/examples'), project, { recursive: true });
  client = await stack.client();
}, 300_000);
afterAll(async () => {
  await stack?.close();
  await rm(folder, { recursive: true, force: true });
}, 120_000);

/** More than the examples give themselves, so that one that waits in vain says so and clears up. */
const PATIENCE_MS = 75_000;

/** Runs a program of the project as its user does, against the live platform; resolves with its lines. */
async function output(...program: string[]): Promise<string[]> {
  const { RIVERA_SERVERS, RIVERA_CA, RIVERA_CERT, RIVERA_KEY } = await stack.cliEnvironment();
  const env = { PATH: process.env.PATH, RIVERA_SERVERS, RIVERA_CA, RIVERA_CERT, RIVERA_KEY };
  const { stdout, stderr } = await run(process.execPath, program, { cwd: project, env, timeout: PATIENCE_MS });
  expect(stderr).toBe('');
  return stdout.trimEnd().split('\n');
}

async function names<T>(records: AsyncIterable<T>, name: (record: T) => string): Promise<string[]> {
  const found: string[] = [];
  for await (const record of records) found.push(name(record));
  return found;
}

describe('the examples of the packed SDK, in an empty project, against a live platform', () => {
  it('run-task.mjs runs a Task, prints its result and leaves nothing behind', async () => {
    const [line] = await output('run-task.mjs');
    expect(line).toMatch(/^result: hello from [0-9a-f-]+$/);
    expect(await names(client.tasks.list({ domain: 'examples' }), ({ taskGuid }) => taskGuid)).toEqual([]);
  }, 90_000);

  it('run-task.mjs runs a command of one’s own, and fails with it', async () => {
    expect(await output('run-task.mjs', '/bin/true')).toEqual(['result:']);
    const failing = run(process.execPath, ['run-task.mjs', '/bin/false'], {
      cwd: project,
      env: await stack.cliEnvironment(),
    });
    await expect(failing).rejects.toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^failed: .*Exited with status 1\n$/),
    });
  }, 90_000);

  it('run-lrp.mjs brings instances up, tells where they are, and removes them', async () => {
    const lines = await output('run-lrp.mjs', '2');
    expect(lines).toContain('2 of 2 running');
    expect(lines.slice(-2)).toEqual([
      expect.stringMatching(/^instance 0: http:\/\/127\.0\.0\.1:\d+\/\w+$/),
      expect.stringMatching(/^instance 1: http:\/\/127\.0\.0\.1:\d+\/\w+$/),
    ]);
    expect(await names(client.desiredLrps.list({ domain: 'examples' }), ({ processGuid }) => processGuid)).toEqual([]);
    await until('the cell is empty', async () => (await client.cells.get('cell-1')).lrpInstances === 0);
  }, 120_000);

  it('watch.mjs tells what exists, and then what happens', async () => {
    await client.desiredLrps.desire(webApp('watched', 1));
    await client.actualLrps.waitForRunning('watched', { timeoutMs: 60_000 });
    const happened = output('watch.mjs', '5');
    await until('the watch has begun and something happens', async () => {
      await client.domains.upsert('examples');
      await client.desiredLrps.update('watched', { annotation: String(Date.now()) });
      return Promise.race([
        happened.then(() => true),
        new Promise<false>((resolve) => setTimeout(resolve, 200, false)),
      ]);
    });
    const lines = await happened;
    expect(lines.slice(0, 3).sort()).toEqual(['exists actualLrp', 'exists cell', 'exists desiredLrp']);
    expect(lines[3]).toBe('snapshot-complete');
    expect(lines[4]).toMatch(/^\d+ desiredLrpChanged$/);
  }, 120_000);

  it('list.cjs, which is CommonJS, lists cells, LRPs and Tasks', async () => {
    await client.tasks.desire({ taskGuid: 'listed', domain: 'examples', definition: task('true') });
    await client.tasks.waitForCompletion('listed', { timeoutMs: 60_000 });
    expect((await instancesOf(client, 'watched')).length).toBe(1);
    expect(await output('list.cjs')).toEqual([
      'cell cell-1 in z1: 1 instances',
      'lrp watched: 1 of 1 running',
      'task listed: COMPLETED',
    ]);
  }, 90_000);
});
