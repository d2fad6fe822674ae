import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allPids, procFile } from '../stack/processes.js';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { get, instancesOf, isRunning, task, urlOf, webApp } from '../stack/work.js';

let stack: Stack;
let client: RiveraClient;

beforeAll(async () => {
  stack = await Stack.start();
  client = await stack.client();
}, 120_000);
afterAll(async () => {
  await stack?.close();
}, 120_000);

describe('a task', () => {
  it('ends COMPLETED with the content of its result file', async () => {
    const definition = task('echo -n "forty-two" > /tmp/result', { resultFile: '/tmp/result' });
    await client.tasks.desire({ taskGuid: 'result', domain: 'test', definition });
    const done = await client.tasks.waitForCompletion('result', { timeoutMs: 60_000 });
    expect(done).toMatchObject({ state: TaskState.COMPLETED, failed: false, result: 'forty-two' });
  });

  it('that exits 3 fails with that status in the reason', async () => {
    await client.tasks.desire({ taskGuid: 'three', domain: 'test', definition: task('exit 3') });
    const done = await client.tasks.waitForCompletion('three', { timeoutMs: 60_000 });
    expect(done).toMatchObject({ failed: true, failureReason: 'APP: Exited with status 3' });
  });

  it('can be cancelled while it runs, and leaves no container', async () => {
    // Nothing else on this machine sleeps just that long.
    const seconds = `${1_000 + process.pid}.5`;
    await client.tasks.desire({ taskGuid: 'long', domain: 'test', definition: task(`sleep ${seconds}`) });
    await until('it runs', async () => (await client.tasks.get('long')).state === TaskState.RUNNING);
    await client.tasks.cancel('long');
    expect(await client.tasks.get('long')).toMatchObject({ failed: true, failureReason: 'task was cancelled' });
    await until('its process is gone', () => processesWith(`sleep\u0000${seconds}`).length === 0);
  });

  it('that nothing can hold says why', async () => {
    const definition = task('true', {}, { rootFs: 'preloaded:windows' });
    await client.tasks.desire({ taskGuid: 'windows', domain: 'test', definition });
    const rejected = await until('it is rejected', async () => {
      const current = await client.tasks.get('windows');
      return current.rejectionCount > 0 ? current : undefined;
    });
    expect(rejected.rejectionReason).toBe('found no compatible cell for required rootfs');
  });
});

describe('an LRP', () => {
  it('runs, scales, is repaired and survives the death of every part', async () => {
    await client.desiredLrps.desire(webApp('hello', 1));
    const [first] = await client.actualLrps.waitForRunning('hello', { timeoutMs: 60_000 });
    if (first === undefined) throw new Error('nothing runs');
    expect(await until('it answers', () => get(urlOf(first)))).toBe(`${first.instanceGuid} 0`);

    // Three instances, each at a port of its own.
    await client.desiredLrps.update('hello', { instances: 3 });
    const three = await client.actualLrps.waitForRunning('hello', { instances: 3, timeoutMs: 60_000 });
    expect(new Set(three.map(urlOf)).size).toBe(3);
    expect(three.find((instance) => instance.key?.index === 0)?.instanceGuid).toBe(first.instanceGuid);

    // Killing a container's process brings a replacement, and crashes nothing else.
    const victim = three.find((instance) => instance.key?.index === 2);
    if (victim === undefined) throw new Error('index 2 is missing');
    for (const pid of processesWith(victim.instanceGuid)) process.kill(pid, 'SIGKILL');
    const replaced = await until('index 2 is replaced', async () => {
      const [now] = await client.actualLrps.get('hello', 2);
      return now !== undefined && isRunning(now) && now.instanceGuid !== victim.instanceGuid ? now : undefined;
    });
    expect(replaced.crashCount).toBe(1);
    expect((await client.actualLrps.get('hello', 0))[0]?.instanceGuid).toBe(first.instanceGuid);
    const before = await guids();

    // kill -9 of the cell agent changes nothing for those who visit, and the next agent adopts all.
    const cell = stack.cells[0];
    if (cell === undefined) throw new Error('no cell');
    await cell.kill();
    expect(await get(urlOf(first))).toBe(`${first.instanceGuid} 0`);
    cell.start();
    await until('the cell is back', async () => (await client.cells.get('cell-1')).lastSeenAt !== undefined);
    expect(await get(urlOf(first))).toBe(`${first.instanceGuid} 0`);
    await client.tasks.desire({ taskGuid: 'after-adoption', domain: 'test', definition: task('true') });
    await client.tasks.waitForCompletion('after-adoption', { timeoutMs: 60_000 });
    expect(await guids()).toEqual(before);

    // kill -9 of the server: the same instances, nothing restarted.
    const server = stack.servers[0];
    if (server === undefined) throw new Error('no server');
    await server.kill();
    expect(await get(urlOf(first))).toBe(`${first.instanceGuid} 0`);
    server.start();
    await until('the server leads again', async () => (await guids()).length === 3);
    await client.tasks.desire({ taskGuid: 'after-failover', domain: 'test', definition: task('true') });
    await client.tasks.waitForCompletion('after-failover', { timeoutMs: 60_000 });
    expect(await guids()).toEqual(before);

    // Nothing is left of what is removed.
    await client.desiredLrps.remove('hello');
    await until('all instances are gone', async () => (await instancesOf(client, 'hello')).length === 0);
    await expect(get(urlOf(first))).rejects.toThrow();
  }, 240_000);

  it('that ended while its agent was dead is reported with its exit', async () => {
    await client.desiredLrps.desire(webApp('mortal', 1));
    const [instance] = await client.actualLrps.waitForRunning('mortal', { timeoutMs: 60_000 });
    const cell = stack.cells[0];
    if (cell === undefined || instance === undefined) throw new Error('nothing runs');
    await cell.kill();
    for (const pid of processesWith(instance.instanceGuid)) process.kill(pid, 'SIGTERM');
    cell.start();
    const next = await until('it is replaced', async () => {
      const [now] = await client.actualLrps.get('mortal', 0);
      return now !== undefined && isRunning(now) && now.instanceGuid !== instance.instanceGuid ? now : undefined;
    });
    expect(next).toMatchObject({ crashCount: 1, crashReason: 'APP: Exited with status 143' });
    await client.desiredLrps.remove('mortal');
    await until('all instances are gone', async () => (await instancesOf(client, 'mortal')).length === 0);
  }, 120_000);
});

async function guids(): Promise<string[]> {
  return (await instancesOf(client, 'hello')).map((instance) => instance.instanceGuid);
}

/** Processes with a text in their arguments or environment, but for this one. */
function processesWith(text: string): number[] {
  return allPids()
    .filter((pid) => pid !== process.pid)
    .filter((pid) => ['cmdline', 'environ'].some((file) => procFile(pid, file).includes(text)))
    .filter((pid) => !procFile(pid, 'cmdline').includes('conmon'));
}
