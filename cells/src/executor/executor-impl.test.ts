import { afterEach, expect, it } from 'vitest';
import { type ContainedProcess, ExecutorError } from './executor.js';
import { run, runRequest, TestCell } from './testing.js';

let cell: TestCell;
afterEach(() => cell.close());

it('takes a container from reservation to removal and tells every step in order', async () => {
  cell = await TestCell.open();
  await cell.run('c', { action: run('/sim/run') });
  const running = await cell.reaches('c', 'running');
  expect(running).toMatchObject({ routable: true, network: { hostAddress: '127.0.0.1', ports: [] } });
  expect(cell.executor.resources().available).toEqual({ memoryMb: 990, diskMb: 9990, containers: 9 });
  await cell.executor.delete('c');
  expect(cell.executor.get('c')).toBeUndefined();
  expect(cell.machine.containers.size).toBe(0);
  expect(cell.executor.resources().available).toEqual({ memoryMb: 1000, diskMb: 10_000, containers: 10 });
  expect(cell.events.map(({ kind, container }) => `${kind} ${container.state}`)).toEqual([
    'reserved reserved',
    'changed initializing',
    'changed created',
    'changed running',
    'changed completed',
    'removed completed',
  ]);
});

it('completes with what the action came to', async () => {
  cell = await TestCell.open();
  await cell.run('good', { action: run('/sim/exit', 0) });
  await cell.run('bad', { action: run('/sim/exit', 3) });
  expect(await cell.ends('good')).toBe('succeeded: ');
  expect(await cell.ends('bad')).toBe('failed: APP: Exited with status 3');
  expect(await cell.lines()).toContain('APP out Exit status 3');
});

it('refuses what does not fit, what is taken and what it does not have', async () => {
  cell = await TestCell.open();
  const reservation = { guid: 'c', memoryMb: 600, diskMb: 1, rootFs: 'preloaded:busybox', tags: {} };
  cell.executor.reserve(reservation);
  const kind = (change: Partial<typeof reservation>): string | undefined => {
    try {
      cell.executor.reserve({ ...reservation, ...change });
    } catch (error) {
      if (error instanceof ExecutorError) return error.kind;
    }
    return undefined;
  };
  expect(kind({})).toBe('guid-not-available');
  expect(kind({ guid: '../c' })).toBe('guid-not-available');
  expect(kind({ guid: 'd', rootFs: 'docker://busybox' })).toBe('unknown-rootfs');
  expect(kind({ guid: 'd' })).toBe('insufficient-resources');
  expect(kind({ guid: 'd', memoryMb: 400 })).toBeUndefined();
  expect(cell.executor.resources().startingContainers).toBe(2);
});

it('ends a reservation that nobody came for', async () => {
  cell = await TestCell.open();
  cell.executor.reserve({ guid: 'c', memoryMb: 1, diskMb: 1, rootFs: 'preloaded:busybox', tags: {} });
  await cell.clock.advance(30_000);
  expect(cell.executor.get('c')?.state).toBe('reserved');
  await cell.clock.advance(30_000);
  expect(await cell.ends('c')).toBe('failed: expired container');
  await expect(cell.executor.run('c', runRequest({ action: run('/sim/run') }))).rejects.toMatchObject({
    kind: 'wrong-state',
  });
});

it('says to the owner of a container what its own owner knows', async () => {
  cell = await TestCell.open();
  await cell.run('c', { action: run('/sim/run') });
  cell.executor.say('c', 'requesting replacement for');
  cell.executor.say('nobody', 'requesting replacement for');
  expect(await cell.lines()).toContain('CELL out Cell cell-1 requesting replacement for instance c');
});

it('stops with TERM and reports that it was told to', async () => {
  cell = await TestCell.open();
  await cell.run('c', { action: run('/sim/run') });
  await cell.reaches('c', 'running');
  await cell.executor.stop('c');
  expect(await cell.ends('c')).toBe('failed, stopped: cancelled');
  expect(await cell.lines({ source: 'CELL' })).toEqual([
    'CELL out Cell cell-1 creating container for instance c',
    'CELL out Cell cell-1 successfully created container for instance c',
    'CELL out Cell cell-1 stopping instance c',
  ]);
});

it('kills what ignores TERM after the graceful interval', async () => {
  cell = await TestCell.open();
  await cell.run('c', { action: run('/sim/run', 60_000) });
  await cell.reaches('c', 'running');
  await cell.executor.stop('c');
  await cell.clock.advance(9_999);
  expect(cell.executor.get('c')?.state).toBe('running');
  await cell.clock.advance(1);
  expect(await cell.ends('c')).toBe('failed, stopped: exceeded graceful shutdown interval');
  expect(await cell.lines()).toContain('APP out Exit status 137 (exceeded 10s graceful shutdown interval)');
});

it('stops what has not run yet without running it', async () => {
  cell = await TestCell.open();
  cell.executor.reserve({ guid: 'c', memoryMb: 1, diskMb: 1, rootFs: 'preloaded:busybox', tags: {} });
  await cell.executor.stop('c');
  expect(await cell.ends('c')).toBe('failed, stopped: stopped-before-running');
  await expect(cell.executor.stop('unknown')).rejects.toMatchObject({ kind: 'not-found' });
});

it('a second removal waits for the first, and an unknown one is fine', async () => {
  cell = await TestCell.open();
  await cell.run('c', { action: run('/sim/run', 5000) });
  await cell.reaches('c', 'running');
  const gone: string[] = [];
  const first = cell.executor.delete('c').then(() => gone.push('first'));
  const second = cell.executor.delete('c').then(() => gone.push('second'));
  await cell.clock.advance(4_999);
  expect(gone).toEqual([]);
  expect(cell.executor.resources().available.containers).toBe(9);
  await cell.clock.advance(1);
  await Promise.all([first, second]);
  expect(gone).toEqual(['first', 'second']);
  await cell.executor.delete('unknown');
});

it('completes containers that the garden lost, and destroys those that only the garden knows', async () => {
  cell = await TestCell.open();
  await cell.run('c', { action: run('/sim/run') });
  await cell.reaches('c', 'running');
  await cell.garden.create({
    handle: 'leftover',
    rootFs: 'preloaded:busybox',
    env: {},
    properties: { 'executor:owner': 'executor' },
    limits: { memoryBytes: 0, diskBytes: 0, pids: 0, cpuShares: 0 },
    ports: [],
    egress: [],
    mounts: [],
    privileged: false,
  });
  // Behind the back of both: the process stays as it was.
  cell.garden.lookup = () => undefined;
  await cell.clock.advance(60_000);
  expect(await cell.ends('c')).toBe('failed: missing garden container');
  expect([...cell.machine.containers.keys()]).toEqual(['c']);
});

it('refuses what a cell does not have, so that it is tried elsewhere', async () => {
  cell = await TestCell.open();
  const { container } = runRequest({ action: run('/sim/run') });
  const device = { $case: 'shared' as const, value: { volumeId: 'v', mountConfig: '' } };
  const mount = { driver: 'd', containerDir: '/d', mode: 'r', device };
  await cell.run('volume', { action: run('/sim/run'), container: { ...container, volumeMounts: [mount] } });
  await cell.run('privileged', { action: run('/sim/run'), container: { ...container, privileged: true } });
  expect(await cell.ends('volume')).toBe(
    "failed, retryable: failed to mount volume: Plugin 'd' not found in list of known plugins",
  );
  expect(await cell.ends('privileged')).toBe(
    'failed, retryable: failed to create container: privileged container creation is disabled',
  );
});

it('gives sidecars their share of the memory, and says once that their disk is not limited', async () => {
  cell = await TestCell.open();
  const sidecar = (memoryMb: number, diskMb = 0) => ({ action: run('/sim/run'), memoryMb, diskMb });
  await cell.run('limited', { action: run('/sim/run'), sidecars: [sidecar(0), sidecar(16, 8), sidecar(0, 8)] });
  await cell.run('free', { action: run('/sim/run'), sidecars: [sidecar(16)] });
  await Promise.all(['limited', 'free'].map((guid) => cell.reaches(guid, 'running')));
  expect((await cell.lines()).filter((line) => line.includes('sidecars'))).toEqual([
    'CELL err Cell cell-1 enforces limits of sidecars for memory only: those of instance limited share the disk of the container',
  ]);
  const shares = [...(cell.machine.containers.get('limited')?.processes.values() ?? [])].map(({ id, spec }) => [
    id,
    spec.memoryShare,
  ]);
  expect(shares).toEqual([
    ['action', undefined],
    ['sidecar.0', undefined],
    ['sidecar.1', { name: 'sidecar.1', bytes: 16 * 1024 * 1024 }],
    ['sidecar.2', undefined],
  ]);
});

it('reads a result file up to its bound', async () => {
  cell = await TestCell.open();
  await cell.run('c', { action: run('/sim/write', '/tmp/result', 'x'.repeat(51_200)) });
  expect(await cell.ends('c')).toBe('succeeded: ');
  expect(await cell.executor.readFile('c', '/tmp/result', 51_200)).toHaveLength(51_200);
  await expect(cell.executor.readFile('c', '/tmp/result', 51_199)).rejects.toMatchObject({ kind: 'file-too-large' });
  await expect(cell.executor.readFile('c', '/tmp/none', 1)).rejects.toMatchObject({ kind: 'file-not-found' });
});

it('updates routes and tags', async () => {
  cell = await TestCell.open();
  await cell.run('c', { action: run('/sim/run'), metricTags: { a: '1' } });
  await cell.reaches('c', 'running');
  await cell.executor.update('c', { internalRoutes: ['app.internal'] });
  expect(cell.executor.get('c')).toMatchObject({ internalRoutes: ['app.internal'], metricTags: { a: '1' } });
  await cell.executor.update('c', { metricTags: { a: '2' } });
  expect(cell.executor.get('c')).toMatchObject({ internalRoutes: ['app.internal'], metricTags: { a: '2' } });
});

it('gives people a process with the network of the container', async () => {
  cell = await TestCell.open();
  await cell.run('c', { action: run('/sim/run') });
  await cell.reaches('c', 'running');
  const process = await cell.executor.exec('c', {
    path: '/sim/print',
    args: ['hello'],
    env: {},
    dir: '',
    user: 'root',
  });
  const said: Buffer[] = [];
  for await (const chunk of process.stdout) said.push(chunk as Buffer);
  expect(Buffer.concat(said).toString()).toBe('hello\n');
  expect(await process.wait()).toEqual({ code: 0 });
  expect((await cell.executor.metrics('c')).pids).toBe(1);
});

it('tells people what has become of their container, also once it is forgotten', async () => {
  cell = await TestCell.open();
  await cell.run('stopped', { action: run('/sim/run') });
  await cell.run('failed', { action: run('/sim/exit', 3, 500) });
  const person = { path: '/sim/run', args: [], env: {}, dir: '', user: 'root' };
  const processes = new Map<string, ContainedProcess>();
  for (const guid of ['stopped', 'failed']) {
    await cell.reaches(guid, 'running');
    const process = await cell.executor.exec(guid, person);
    expect(await process.fate?.()).toEqual({ kind: 'lives' });
    processes.set(guid, process);
  }
  await cell.executor.stop('stopped');
  expect(await processes.get('stopped')?.fate?.()).toEqual({ kind: 'stopped' });
  await cell.clock.advance(500);
  await cell.ends('failed');
  for (const [guid, process] of processes) {
    await cell.executor.delete(guid);
    expect(await process.fate?.()).toEqual(
      guid === 'stopped' ? { kind: 'stopped' } : { kind: 'ended', why: 'APP: Exited with status 3' },
    );
  }
});
