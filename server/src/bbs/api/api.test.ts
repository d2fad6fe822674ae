import { ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import { CellSessionServiceClient } from '@rivera/gen/rivera/bbs/v1/session_service';
import { TaskDefinition, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { Action } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import { bidi, dial } from '@rivera/kit/grpc/dial';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { presence, RUNNING_FACTS } from '../core/testing.js';
import { BbsBench } from '../testing.js';

let bbs: BbsBench;
let client: RiveraClient;
let guids = 0;
const newGuid = () => `g-${++guids}`;

beforeAll(async () => {
  bbs = await BbsBench.start({ config: { expireCompletedTask: 60_000 } });
  client = await bbs.client();
});
afterAll(() => bbs.close());

const action = Action.fromPartial({
  action: { $case: 'runAction', value: { path: '/bin/true', user: 'root' } },
});
const container = ContainerSpec.fromPartial({
  rootFs: 'preloaded:busybox',
  memoryMb: 32,
  environmentVariables: [{ name: 'SECRET', value: 'x' }],
});
const definition = TaskDefinition.fromPartial({ container, action, resultFile: '/tmp/result' });
const lrp = (processGuid: string, extra: Partial<DesiredLrp> = {}) =>
  DesiredLrp.fromPartial({
    processGuid,
    domain: 'd',
    instances: 1,
    container,
    action,
    ports: [8080],
    ...extra,
  } as never);

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

describe('tasks', () => {
  it('shows the definition of one task, and not those of a list', async () => {
    const taskGuid = newGuid();
    await client.tasks.desire({ taskGuid, domain: 'd', definition });
    const task = await client.tasks.get(taskGuid);
    expect(task).toMatchObject({
      state: TaskState.PENDING,
      requirements: { memoryMb: 32, rootFs: 'preloaded:busybox' },
    });
    expect(task.definition?.resultFile).toBe('/tmp/result');
    const [listed] = (await all(client.tasks.list({ domain: 'd' }))).filter((each) => each.taskGuid === taskGuid);
    expect(listed).toMatchObject({ taskGuid, definition: undefined });
  });

  it('names every broken rule of a request', async () => {
    const bad = TaskDefinition.fromPartial({
      container: { rootFs: 'nowhere', memoryMb: -1 },
      action: { action: { $case: 'serialAction', value: { actions: [{}] } } },
      annotation: 'x'.repeat(10_241),
    } as never);
    const refused = client.tasks.desire({ taskGuid: 'not ok', domain: '', definition: bad });
    await expect(refused).rejects.toMatchObject({ codeName: 'INVALID_ARGUMENT' });
    const violations = await refused.catch((error) => error.violations.map((each: { field: string }) => each.field));
    expect(violations).toEqual([
      'task_guid',
      'domain',
      'definition.container.root_fs',
      'definition.container.memory_mb',
      'definition.action.serial_action.actions[0]',
      'definition.annotation',
    ]);
  });

  it('survives hostile nesting', async () => {
    let nested = action;
    for (let depth = 0; depth < 40; depth++) {
      nested = Action.fromPartial({ action: { $case: 'tryAction', value: { action: nested } } } as never);
    }
    const deep = client.tasks.desire({
      taskGuid: newGuid(),
      domain: 'd',
      definition: { ...definition, action: nested },
    });
    await expect(deep).rejects.toThrow(/nested deeper than 32 levels/);
  });

  it('answers the same request twice and refuses another one of the same guid', async () => {
    const taskGuid = newGuid();
    await client.tasks.desire({ taskGuid, domain: 'd', definition });
    await client.tasks.desire({ taskGuid, domain: 'd', definition });
    const other = client.tasks.desire({ taskGuid, domain: 'd', definition: { ...definition, annotation: 'y' } });
    await expect(other).rejects.toMatchObject({ codeName: 'ALREADY_EXISTS', reason: 'TASK_EXISTS' });
  });

  it('pages through lists in order', async () => {
    const prefix = newGuid();
    for (let i = 0; i < 5; i++) await client.tasks.desire({ taskGuid: `${prefix}-${i}`, domain: prefix, definition });
    const listed = await all(client.tasks.list({ domain: prefix, pageSize: 2 }));
    expect(listed.map((task) => task.taskGuid)).toEqual([0, 1, 2, 3, 4].map((i) => `${prefix}-${i}`));
  });
});

describe('LRPs', () => {
  it('keeps secrets out of lists and gives the whole LRP to who asks for it', async () => {
    const guid = newGuid();
    await client.desiredLrps.desire(lrp(guid));
    const whole = await client.desiredLrps.get(guid);
    expect(whole.container?.environmentVariables).toEqual([expect.objectContaining({ name: 'SECRET' })]);
    const [listed] = await all(client.desiredLrps.list({ processGuids: [guid] }));
    expect(listed?.container?.environmentVariables).toEqual([]);
    expect(listed?.requirements?.proxied).toBe(true);
  });

  it('tells when an instance is offered to the cells again, in the record of its slot alone', async () => {
    const processGuid = newGuid();
    await client.desiredLrps.desire(lrp(processGuid));
    const [one] = await client.actualLrps.get(processGuid, 0);
    expect(one?.nextPlacementAt?.getTime()).toBe((one?.since?.getTime() ?? 0) + 30_000);
    const [listed] = await all(client.actualLrps.list({ processGuids: [processGuid] }));
    expect(listed?.nextPlacementAt).toBeUndefined();
  });

  it('updates what may change, once, under a condition', async () => {
    const guid = newGuid();
    await client.desiredLrps.desire(lrp(guid, { instances: 3 }));
    const updated = await client.desiredLrps.update(guid, { instances: 1, annotation: 'new' }, { ifIndex: 0 });
    expect(updated).toMatchObject({ instances: 1, annotation: 'new', modificationTag: { index: 1 } });
    await expect(client.desiredLrps.update(guid, { instances: 5 }, { ifIndex: 0 })).rejects.toMatchObject({
      codeName: 'ABORTED',
    });
    expect(await all(client.actualLrps.list({ processGuids: [guid] }))).toHaveLength(1);
    await expect(client.desiredLrps.update(guid, {})).rejects.toThrow(/must change something/);
    await expect(client.desiredLrps.update(guid, { imageUsername: 'me' })).rejects.toThrow(/image_password/);
  });

  it('changes image credentials in the stored recipe', async () => {
    const guid = newGuid();
    await client.desiredLrps.desire(lrp(guid));
    await client.desiredLrps.update(guid, { imageUsername: 'me', imagePassword: 'secret' });
    expect((await client.desiredLrps.get(guid)).container).toMatchObject({
      imageUsername: 'me',
      imagePassword: 'secret',
    });
  });

  it('takes a stream of desires and answers each, in order', async () => {
    const wanted = Array.from({ length: 200 }, (_, i) => lrp(`${newGuid()}-bulk`, i === 7 ? { instances: -1 } : {}));
    const results = await all(client.desiredLrps.desireMany(wanted));
    expect(results).toHaveLength(200);
    expect(results.flatMap((result, i) => ('error' in result && result.error !== undefined ? [i] : []))).toEqual([7]);
  });
});

describe('streams of Tasks', () => {
  it('take many through their lives, each answered in its place', async () => {
    const guids = Array.from({ length: 50 }, () => newGuid());
    const errorsOf = (results: { error: Error | undefined }[]) => results.flatMap(({ error }, i) => (error ? [i] : []));
    const wanted = guids.map((taskGuid, i) => ({ taskGuid, domain: i === 7 ? '' : 'd', definition }));
    expect(errorsOf(await all(client.tasks.desireMany(wanted)))).toEqual([7]);

    const cell = await bbs.cell(`cell-${guids[0]}`);
    expect((await cell.hears())?.$case).toBe('welcome');
    for (const taskGuid of guids.filter((_, i) => i !== 7 && i !== 8)) {
      const task = { taskGuid, executionGuid: `e-${taskGuid}` };
      await cell.reports({ $case: 'taskStarted', value: { ...task, includeDefinition: false } });
      const end = { failed: false, failureReason: '', result: `of ${taskGuid}` };
      await cell.reports({ $case: 'taskCompleted', value: { ...task, ...end } });
    }
    const resolved = await all(client.tasks.resolveMany(guids));
    expect(errorsOf(resolved)).toEqual([7, 8]);
    expect(resolved[7]?.error).toMatchObject({ codeName: 'NOT_FOUND' });
    expect(resolved[8]?.error).toMatchObject({ codeName: 'FAILED_PRECONDITION' });
    expect(resolved[9]?.task).toMatchObject({ state: TaskState.RESOLVING, result: `of ${guids[9]}` });

    expect(errorsOf(await all(client.tasks.deleteMany(guids)))).toEqual([7, 8]);
    const left = (await all(client.tasks.list({ domain: 'd' }))).filter(({ taskGuid }) => guids.includes(taskGuid));
    expect(left.map(({ taskGuid }) => taskGuid)).toEqual([guids[8]]);
  });
});

describe('sessions', () => {
  it('lets a cell claim, run and crash an instance, and sends it the recipe', async () => {
    const guid = newGuid();
    await client.desiredLrps.desire(lrp(guid));
    const cell = await bbs.cell(`cell-${guid}`);
    expect((await cell.hears())?.$case).toBe('welcome');
    const key = { processGuid: guid, index: 0, domain: 'd' };
    const [claimed] = await cell.reports({
      $case: 'lrpClaimed',
      value: { key, instanceGuid: 'i', includeDefinition: true },
    });
    expect(claimed).toMatchObject({ code: 0, desiredLrp: { processGuid: guid, ports: [8080] } });
    const running = {
      key,
      instanceGuid: 'i',
      netInfo: RUNNING_FACTS.netInfo,
      internalRoutes: [],
      metricTags: {},
      routable: true,
    };
    await cell.reports({ $case: 'lrpRunning', value: running });
    expect(await client.actualLrps.get(guid, 0)).toMatchObject([
      { state: ActualLrpState.RUNNING, availabilityZone: 'z1' },
    ]);
    await expect(client.actualLrps.move(guid, 0, 'another')).rejects.toMatchObject({ codeName: 'NOT_FOUND' });
    await expect(client.actualLrps.move(guid, 0, '')).rejects.toMatchObject({ codeName: 'INVALID_ARGUMENT' });
    await cell.reports({ $case: 'lrpCrashed', value: { key, instanceGuid: 'i', reason: 'APP: Exited with status 1' } });
    const [again] = await cell.reports({ $case: 'lrpCrashed', value: { key, instanceGuid: 'i', reason: 'again' } });
    expect(again).toMatchObject({ code: 9, reason: 'ACTUAL_LRP_CANNOT_BE_CRASHED' });
    expect(await client.actualLrps.get(guid, 0)).toMatchObject([
      { crashCount: 1, crashReason: 'APP: Exited with status 1' },
    ]);
  });

  it('has an instance run elsewhere, and keeps it until that is so', async () => {
    const guid = newGuid();
    await client.desiredLrps.desire(lrp(guid));
    const [first, second] = [await bbs.cell('cell-from'), await bbs.cell('cell-to')];
    const key = { processGuid: guid, index: 0, domain: 'd' };
    const running = (instanceGuid: string) => ({
      $case: 'lrpRunning' as const,
      value: { key, instanceGuid, netInfo: RUNNING_FACTS.netInfo, internalRoutes: [], metricTags: {}, routable: true },
    });
    await first.reports(running('old'));
    await client.actualLrps.move(guid, 0, 'old');
    const { EVACUATING, ORDINARY } = ActualLrpPresence;
    expect(await client.actualLrps.get(guid, 0)).toMatchObject([
      { presence: ORDINARY, state: ActualLrpState.UNCLAIMED },
      { presence: EVACUATING, state: ActualLrpState.RUNNING, cellId: 'cell-from' },
    ]);
    await expect(client.actualLrps.move(guid, 0, 'old')).rejects.toMatchObject({
      codeName: 'FAILED_PRECONDITION',
      message: expect.stringContaining('it is moving'),
    });
    await second.reports(running('new'));
    expect(await client.actualLrps.get(guid, 0)).toMatchObject([{ presence: ORDINARY, cellId: 'cell-to' }]);
  });

  it('sends large recipes in several messages', async () => {
    const guids = Array.from({ length: 12 }, () => newGuid());
    const annotated = { ...container, environmentVariables: [{ name: 'LONG', value: 'x'.repeat(400_000) }] };
    for (const guid of guids) await client.desiredLrps.desire(lrp(guid, { container: annotated }));
    const cell = await bbs.cell('cell-large');
    await cell.hears();
    const acks = await cell.reports(
      ...guids.map((guid) => ({
        $case: 'lrpClaimed' as const,
        value: {
          key: { processGuid: guid, index: 0, domain: 'd' },
          instanceGuid: `i-${guid}`,
          includeDefinition: true,
        },
      })),
    );
    while (acks.length < guids.length) {
      const message = await cell.hears();
      if (message?.$case === 'acks') acks.push(...message.value.acks);
    }
    expect(acks.map((ack) => ack.desiredLrp?.processGuid)).toEqual(guids);
  });

  it('lets nobody speak for another cell', async () => {
    const identity = await bbs.identity('cell', 'cell-x');
    const raw = dial(CellSessionServiceClient, bbs.address, identity);
    const stream = bidi(() => raw.session());
    await stream.write({ message: { $case: 'hello', value: { presence: presence('cell-y'), incarnation: 'i' } } });
    await expect(stream.responses[Symbol.asyncIterator]().next()).rejects.toMatchObject({ reason: 'CELL_MISMATCH' });
    raw.close();
  });

  it('replaces the session of a cell that comes again', async () => {
    const first = await bbs.cell('cell-twice');
    await first.hears();
    const second = await bbs.cell('cell-twice');
    await second.hears();
    await expect(first.hears()).rejects.toMatchObject({ reason: 'SESSION_REPLACED' });
  });

  it('tells a cell to stop what was scaled away, and again when it comes back', async () => {
    const guid = newGuid();
    await client.desiredLrps.desire(lrp(guid));
    const cell = await bbs.cell(`cell-${guid}`);
    await cell.hears();
    const key = { processGuid: guid, index: 0, domain: 'd' };
    await cell.reports({ $case: 'lrpClaimed', value: { key, instanceGuid: 'i', includeDefinition: false } });
    await client.desiredLrps.remove(guid);
    const stop = {
      $case: 'commands',
      value: { commands: [{ command: { $case: 'stopLrp', value: { instanceGuid: 'i' } } }] },
    };
    expect(await cell.hears()).toMatchObject(stop);
    cell.hangUp();
    const back = await bbs.cell(`cell-${guid}`, { incarnation: 'i2' });
    await back.hears();
    const held = { key, instanceGuid: 'i', state: ActualLrpState.CLAIMED };
    await back.say({ $case: 'inventory', value: { requestId: 0, lrps: [held], tasks: [], more: false } });
    expect(await back.hears()).toMatchObject(stop);
    await back.reports({ $case: 'lrpRemoved', value: { key, instanceGuid: 'i' } });
    await expect(client.actualLrps.get(guid, 0)).rejects.toMatchObject({ codeName: 'NOT_FOUND' });
  });
});

describe('roles', () => {
  it('lets readers read and nothing else', async () => {
    const reader = await bbs.client('reader');
    await all(reader.domains.list());
    await expect(reader.domains.upsert('d')).rejects.toMatchObject({ codeName: 'PERMISSION_DENIED' });
  });
});

describe('watch', () => {
  it('begins with a snapshot and goes on without a gap', async () => {
    const guid = newGuid();
    await client.desiredLrps.desire(lrp(guid));
    const stop = new AbortController();
    const seen: string[] = [];
    for await (const item of client.watch({
      snapshot: true,
      processGuids: [guid],
      kinds: [EventKind.DESIRED_LRP, EventKind.ACTUAL_LRP],
      signal: stop.signal,
    })) {
      if (item.kind === 'snapshot') seen.push(`snapshot ${item.record.record?.$case}`);
      if (item.kind === 'snapshot-complete') await client.desiredLrps.update(guid, { instances: 2 });
      if (item.kind === 'event') seen.push(item.event.event?.$case ?? '');
      if (seen.length === 4) break;
    }
    expect(seen).toEqual(['snapshot desiredLrp', 'snapshot actualLrp', 'desiredLrpChanged', 'actualLrpCreated']);
  });
});

describe('cells', () => {
  it('are told to drain again when they come back without having heard of it', async () => {
    const cell = await bbs.cell('drained');
    expect((await cell.hears())?.$case).toBe('welcome');
    cell.hangUp();
    await client.cells.evacuate('drained');
    const again = await bbs.cell('drained');
    expect((await again.hears())?.$case).toBe('welcome');
    expect(await again.hears()).toMatchObject({ value: { commands: [{ command: { $case: 'evacuate' } }] } });
    again.hangUp();
  });
});
