import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CheckDefinition } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec, Sidecar } from '@rivera/gen/rivera/recipe/v1/container';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ContainerRecord } from '../executor.js';
import { portChecks, run, runRequest, TestCell } from '../testing.js';
import { FileRecordStore } from './file-record-store.js';

let directory: string;
let stores: FileRecordStore[];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'records-'));
  stores = [];
});
afterEach(async () => {
  for (const store of stores) await store.close();
  await rm(directory, { recursive: true, force: true });
});

/** What a new program finds; the old one's files are not closed, as `kill -9` does not close them. */
async function open() {
  const store = new FileRecordStore(directory, silentLogger);
  stores.push(store);
  return { store, found: await store.load() };
}

const record: ContainerRecord = {
  guid: 'c',
  state: 'reserved',
  tags: { owner: 'rep' },
  resources: { memoryMb: 1, diskMb: 1, containers: 1 },
  allocatedAtMs: 5,
  routable: false,
  internalRoutes: [],
  metricTags: {},
};
const request = {
  ...runRequest({
    action: run('/app', 'arg'),
    setup: run('/setup'),
    monitor: run('/monitor'),
    checkDefinition: CheckDefinition.fromPartial(portChecks([8080], [9090], 2)),
  }),
  container: ContainerSpec.fromPartial({
    rootFs: 'preloaded:busybox',
    volumeMountedFiles: [{ path: 'a', content: Buffer.from([0, 255]) }],
  }),
  sidecars: [Sidecar.fromPartial({ action: run('/sidecar'), diskMb: 1, memoryMb: 2 })],
};

it('finds what was acknowledged, with every field of the request', async () => {
  const { store } = await open();
  const journal = store.create('c');
  await journal.append([{ kind: 'record', record }]);
  await journal.append([
    { kind: 'request', request },
    { kind: 'record', record: { ...record, state: 'initializing' } },
  ]);
  await journal.append([{ kind: 'mark', key: 'done:setup', value: '' }], { durable: false });
  await journal.append([{ kind: 'dependencies', names: ['x.dir'] }, { kind: 'stopping' }]);
  const [kept] = (await open()).found;
  expect(kept?.stored).toEqual({
    record: { ...record, state: 'initializing' },
    request,
    marks: new Map([['done:setup', '']]),
    dependencies: ['x.dir'],
    stopping: true,
    deleting: false,
  });
  await kept?.journal.append([{ kind: 'deleting' }]);
  expect((await open()).found[0]?.stored).toMatchObject({ stopping: true, deleting: true });
});

it('keeps secrets to itself', async () => {
  const { store } = await open();
  await store.create('c').append([{ kind: 'record', record }]);
  expect((await stat(join(directory, 'c.jsonl'))).mode & 0o777).toBe(0o600);
});

it('drops a torn last line, which was never acknowledged, and writes over it', async () => {
  const { store } = await open();
  await store.create('c').append([{ kind: 'record', record }]);
  await appendFile(join(directory, 'c.jsonl'), '{"kind":"deleting"');
  const { found } = await open();
  expect(found[0]?.stored.deleting).toBe(false);
  await found[0]?.journal.append([{ kind: 'stopping' }]);
  expect((await open()).found[0]?.stored).toMatchObject({ stopping: true, deleting: false });
});

it('sets an unreadable journal aside and goes on with the others', async () => {
  const { store } = await open();
  await store.create('good').append([{ kind: 'record', record: { ...record, guid: 'good' } }]);
  await writeFile(join(directory, 'bad.jsonl'), 'not json\n');
  expect((await open()).found.map(({ stored }) => stored.record.guid)).toEqual(['good']);
  expect((await readdir(directory)).sort()).toEqual(['bad.jsonl.unreadable', 'good.jsonl']);
});

it('forgets what is removed', async () => {
  const { store } = await open();
  const journal = store.create('c');
  await journal.append([{ kind: 'record', record }]);
  await journal.remove();
  expect(await readdir(directory)).toEqual([]);
  await store.create('c').append([{ kind: 'record', record }]);
  expect((await open()).found).toHaveLength(1);
});

it('stays small, however often a container changes', async () => {
  const { store } = await open();
  const journal = store.create('c');
  await journal.append([
    { kind: 'record', record },
    { kind: 'request', request },
    { kind: 'mark', key: 'healthy', value: true },
  ]);
  for (let round = 0; round < 40; round++) {
    const flips = Array.from({ length: 50 }, (_, flip) => ({
      kind: 'record' as const,
      record: { ...record, routable: (round + flip) % 2 === 0 },
    }));
    await journal.append(flips, { durable: false });
  }
  expect((await stat(join(directory, 'c.jsonl'))).size).toBeLessThan(300 * 1024);
  const [kept] = (await open()).found;
  expect(kept?.stored).toMatchObject({ record: { routable: true }, request: { instanceEnv: {} } });
  expect(kept?.stored.marks.get('healthy')).toBe(true);
});

it('tells nobody of what could not be written, and tries again', async () => {
  let kept = false;
  let store!: FileRecordStore;
  const failed = new Promise<void>((resolve) => {
    store = new FileRecordStore(directory, Object.create(silentLogger, { error: { value: () => resolve() } }));
  });
  stores.push(store);
  await rm(directory, { recursive: true });
  const journal = store.create('c');
  const appending = journal.append([{ kind: 'record', record }]).then(() => {
    kept = true;
  });
  await failed;
  expect(kept).toBe(false);
  await mkdir(directory);
  await appending;
  expect(await readFile(join(directory, 'c.jsonl'), 'utf8')).toContain('"guid":"c"');
});

describe('an executor on files', () => {
  it('goes on after a restart with what it finds there', async () => {
    const cell = await TestCell.open({}, (fresh) => {
      fresh.store = new FileRecordStore(directory, silentLogger);
    });
    await cell.run('c', { action: run('/sim/exit', 3, 60_000) });
    cell.executor.reserve({ guid: 'r', memoryMb: 5, diskMb: 5, rootFs: 'preloaded:busybox', tags: { who: 'me' } });
    await cell.reaches('c', 'running');
    await cell.executor.close();
    cell.store = new FileRecordStore(directory, silentLogger);
    await cell.restart();
    expect(cell.executor.get('c')?.state).toBe('running');
    expect(cell.executor.get('r')).toMatchObject({ state: 'reserved', tags: { who: 'me' } });
    expect(cell.executor.resources().available).toEqual({ memoryMb: 985, diskMb: 9985, containers: 8 });
    await cell.clock.advance(60_000);
    expect(await cell.ends('c')).toBe('failed: APP: Exited with status 3');
    await cell.executor.delete('c');
    await cell.executor.delete('r');
    expect(await readdir(directory)).toEqual([]);
    await cell.close();
  });
});
