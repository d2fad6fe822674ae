import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import { type Task, TaskDefinition, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { BbsBench } from '../testing.js';

let bbs: BbsBench;
let client: RiveraClient;
let callbackUrl: string;
let answer = 500;
const receiver = createServer((_, response) => response.writeHead(answer).end());

beforeAll(async () => {
  bbs = await BbsBench.start({ config: { callbackRetention: 1_000 } });
  client = await bbs.client();
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  callbackUrl = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
});
afterAll(async () => {
  receiver.closeAllConnections();
  receiver.close();
  await bbs.close();
});

async function cancelled(taskGuid: string, completionCallbackUrl: string): Promise<void> {
  const definition = TaskDefinition.fromPartial({
    container: { rootFs: 'preloaded:busybox', memoryMb: 32 },
    action: { action: { $case: 'runAction', value: { path: '/bin/true', user: 'root' } } },
    completionCallbackUrl,
  } as never);
  await client.tasks.desire({ taskGuid, domain: 'd', definition });
  await client.tasks.cancel(taskGuid);
}

async function deadLetters(): Promise<Task[]> {
  const letters: Task[] = [];
  for await (const task of client.tasks.list({ deadLetters: true })) letters.push(task);
  return letters;
}

it('a Task whose callback is given up is a dead letter, until its callback is tried again', async () => {
  await cancelled('waiting', '');
  await cancelled('t', callbackUrl);
  await vi.waitFor(async () => expect(await deadLetters()).toHaveLength(1), { timeout: 10_000 });
  const [letter] = await deadLetters();
  expect(letter).toMatchObject({
    taskGuid: 't',
    state: TaskState.COMPLETED,
    callback: { attempts: 1, lastError: 'HTTP 500', nextAttemptAt: undefined, givenUpAt: expect.any(Date) },
  });
  const got = await client.tasks.get('t');
  const givenUpAt = got.callback?.givenUpAt?.getTime() ?? 0;
  expect(givenUpAt).toBeGreaterThanOrEqual((got.firstCompletedAt?.getTime() ?? 0) + 1_000);
  expect(got.expiresAt?.getTime()).toBe(givenUpAt + 7 * 86_400_000);

  answer = 204;
  const changes: (Task | undefined)[] = [];
  const end = new AbortController();
  const watched = client.watch({ kinds: [EventKind.TASK], taskGuids: ['t'], snapshot: true, signal: end.signal });
  let retried: Task | undefined;
  for await (const item of watched) {
    if (item.kind === 'snapshot-complete') retried = await client.tasks.retryCallback('t');
    if (item.kind !== 'event') continue;
    if (item.event.event?.$case === 'taskRemoved') break;
    if (item.event.event?.$case === 'taskChanged') changes.push(item.event.event.value.after);
  }
  end.abort();
  expect(retried?.callback).toMatchObject({ attempts: 0, lastError: 'HTTP 500', givenUpAt: undefined });
  expect(changes.map((task) => [task?.state, task?.callback?.givenUpAt])).toEqual([
    [TaskState.COMPLETED, undefined],
    [TaskState.RESOLVING, undefined],
  ]);
  expect(await deadLetters()).toEqual([]);
});

it('a Task without a callback has none that could be tried, and tells when it is forgotten', async () => {
  await cancelled('silent', '');
  const refused = client.tasks.retryCallback('silent');
  await expect(refused).rejects.toMatchObject({ codeName: 'FAILED_PRECONDITION', reason: 'TASK_HAS_NO_CALLBACK' });
  const task = await client.tasks.get('silent');
  expect(task.callback).toBeUndefined();
  expect(task.expiresAt?.getTime()).toBe((task.firstCompletedAt?.getTime() ?? 0) + 120_000);
});
