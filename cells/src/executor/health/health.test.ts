import { afterEach, expect, it } from 'vitest';
import { parallel, portChecks, run, TestCell } from '../testing.js';

let cell: TestCell;
afterEach(() => cell.close());

/** Probes succeed on the ports of the set, which a test changes as it likes. */
async function openCell(): Promise<{ open: Set<number>; probes: number[] }> {
  const open = new Set<number>();
  const probes: number[] = [];
  cell = await TestCell.open({}, (fresh) => {
    fresh.prober = {
      probe: async (check) => {
        const port = check.probe?.value.port ?? 0;
        probes.push(port);
        return open.has(port) ? undefined : `port ${port} is closed`;
      },
    };
  });
  return { open, probes };
}

const app = run('/sim/run');
const platform = async (): Promise<string[]> => (await cell.lines()).filter((line) => !line.startsWith('CELL'));

it('is running once all checks have passed, and not before', async () => {
  const { open } = await openCell();
  await cell.run('c', { action: app, checkDefinition: portChecks([8080, 9090]) });
  await cell.reaches('c', 'created');
  open.add(8080);
  await cell.clock.advance(10_000);
  expect(cell.executor.get('c')?.state).toBe('created');
  open.add(9090);
  await cell.clock.advance(2000);
  expect(cell.executor.get('c')).toMatchObject({ state: 'running', routable: true });
  expect(await platform()).toEqual([
    'APP out Starting health monitoring of container',
    'APP out Container became healthy',
  ]);
});

it('ends when the checks have not passed within the start timeout', async () => {
  await openCell();
  await cell.run('c', { action: app, checkDefinition: portChecks([8080]), startTimeoutMs: 2000 });
  await cell.clock.advance(5000);
  const error = 'Timed out after 2s (6 attempts) waiting for startup check to succeed: port 8080 is closed';
  expect(await cell.ends('c')).toBe(`failed: Instance never healthy after 2s: ${error}`);
  expect(await platform()).toEqual([
    'APP out Starting health monitoring of container',
    `HEALTH err ${error}`,
    'APP err Failed after 2s: startup health check never passed.',
    'APP out Exit status 143',
  ]);
});

it('goes on waiting with what is left of the start timeout after a restart', async () => {
  await openCell();
  await cell.run('c', { action: app, checkDefinition: portChecks([8080]), startTimeoutMs: 10_000 });
  await cell.clock.advance(4000);
  await cell.restart();
  await cell.clock.advance(5900);
  expect(cell.executor.get('c')?.state).toBe('created');
  await cell.clock.advance(200);
  expect(await cell.ends('c')).toContain('failed: Instance never healthy after 10s: Timed out after 10s');
});

it('waits for ever without a start timeout', async () => {
  await openCell();
  await cell.run('c', { action: app, checkDefinition: portChecks([8080]) });
  await cell.clock.advance(3_600_000);
  expect(cell.executor.get('c')?.state).toBe('created');
});

it('waits as long as it should for the first success when the clock leaps', async () => {
  const { open } = await openCell();
  await cell.run('slow', { action: app, checkDefinition: portChecks([8080]), startTimeoutMs: 60_000 });
  await cell.clock.advance(5_000);
  cell.leapMs = 3_600_000;
  await cell.clock.advance(30_000);
  open.add(8080);
  await cell.clock.advance(10_000);
  expect(cell.executor.get('slow')?.state).toBe('running');
});

it('ends at the first failure, or at the threshold', async () => {
  const { open } = await openCell();
  open.add(8080);
  await cell.run('first', { action: app, checkDefinition: portChecks([8080]) });
  await cell.run('third', { action: app, checkDefinition: portChecks([8080], [], 3) });
  await cell.clock.advance(29_000);
  open.clear();
  await cell.clock.advance(2000);
  expect(await cell.ends('first')).toBe(
    'failed: Instance became unhealthy: Liveness check unsuccessful: port 8080 is closed',
  );
  await cell.clock.advance(30_000);
  expect(cell.executor.get('third')?.state).toBe('running');
  await cell.clock.advance(30_000);
  expect(await cell.ends('third')).toContain('failed: Instance became unhealthy');
  expect(cell.executor.counts().livenessFailures).toEqual({ tcp: 2, http: 0, monitor: 0 });
  expect(await platform()).toContain('APP err Container became unhealthy');
});

it('does not wait for health again after a restart', async () => {
  const { open, probes } = await openCell();
  open.add(8080);
  await cell.run('c', { action: app, checkDefinition: portChecks([8080]), startTimeoutMs: 1000 });
  await cell.clock.advance(10);
  await cell.reaches('c', 'running');
  await cell.restart();
  probes.length = 0;
  open.clear();
  await cell.clock.advance(29_000);
  expect(probes).toEqual([]);
  expect(cell.executor.get('c')?.state).toBe('running');
  await cell.clock.advance(2000);
  expect(await cell.ends('c')).toBe(
    'failed: Instance became unhealthy: Liveness check unsuccessful: port 8080 is closed',
  );
});

it('lets readiness decide over traffic and not over life', async () => {
  const { open } = await openCell();
  await cell.run('c', { action: app, checkDefinition: portChecks([], [8080]) });
  await cell.clock.advance(10);
  expect(await cell.reaches('c', 'running')).toMatchObject({ routable: false });
  open.add(8080);
  await cell.clock.advance(2000);
  expect(cell.executor.get('c')).toMatchObject({ state: 'running', routable: true });
  open.clear();
  await cell.clock.advance(30_000);
  expect(cell.executor.get('c')).toMatchObject({ state: 'running', routable: false });
  expect(await platform()).toEqual([
    'HEALTH out Starting readiness health monitoring of container',
    'HEALTH out Container passed the readiness health check. Container marked ready and added to route pool.',
    'HEALTH err Readiness check unsuccessful: port 8080 is closed',
    'HEALTH out Container failed the readiness health check. Container marked not ready and removed from route pool.',
  ]);
});

it('remembers over a restart whether the container gets traffic', async () => {
  const { open } = await openCell();
  open.add(8080);
  await cell.run('c', { action: app, checkDefinition: portChecks([], [8080]) });
  await cell.clock.advance(10);
  expect(cell.executor.get('c')).toMatchObject({ state: 'running', routable: true });
  await cell.restart();
  expect(cell.executor.get('c')).toMatchObject({ state: 'running', routable: true });
  open.clear();
  await cell.clock.advance(30_000);
  expect(cell.executor.get('c')).toMatchObject({ state: 'running', routable: false });
});

it('ends well when an unwatched action exits, readiness or not', async () => {
  await openCell();
  await cell.run('c', { action: run('/sim/exit', 0, 100), checkDefinition: portChecks([], [8080]) });
  await cell.clock.advance(200);
  expect(await cell.ends('c')).toBe('succeeded: ');
});

it('skips checks that say nothing, and then there are none', async () => {
  await openCell();
  await cell.run('c', { action: app, checkDefinition: portChecks([0, 70_000]), monitor: run('/sim/exit', 1) });
  await cell.clock.advance(10);
  await cell.reaches('c', 'running');
});

it('runs a monitor action every 2 s until it succeeds, then every 30 s', async () => {
  await openCell();
  await cell.run('c', { action: app, monitor: run('/sim/print', 'fine') });
  await cell.clock.advance(1900);
  expect(cell.executor.get('c')?.state).toBe('created');
  await cell.clock.advance(200);
  expect(cell.executor.get('c')?.state).toBe('running');
  await cell.clock.advance(60_000);
  expect((await platform()).filter((line) => line === 'APP out fine')).toHaveLength(3);
  // A monitor is no part of the recipe: the garden keeps nothing of its runs.
  expect(cell.processes('c')).toEqual(['action']);
});

it('tells why a monitor action failed', async () => {
  await openCell();
  await cell.run('silent', { action: app, monitor: run('/sim/exit', 4), startTimeoutMs: 3000 });
  await cell.run('several', {
    action: app,
    monitor: parallel(run('/sim/exit', 4), run('/sim/exit', 5)),
    startTimeoutMs: 3000,
  });
  await cell.clock.advance(10_000);
  expect(await cell.ends('silent')).toBe('failed: Instance never healthy after 3s: Exited with status 4');
  expect(await cell.ends('several')).toBe(
    'failed: Instance never healthy after 3s: Exited with status 4; Exited with status 5',
  );
});
