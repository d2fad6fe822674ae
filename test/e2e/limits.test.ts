import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { cgroupVersion } from '@rivera/cells/garden/oci/cgroups/cgroup';
import { cellPlaces } from '@rivera/cells/garden/oci/places';
import type { ActualLrp } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { allPids, procFile } from '../stack/processes.js';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { container, get, instancesOf, shell, task, urlOf, webApp } from '../stack/work.js';

const MIB = 1024 * 1024;

let stack: Stack;
let client: RiveraClient;
/** Another tenant of the same machine: what hogs do is none of its business. */
let neighbour: ActualLrp;

beforeAll(async () => {
  stack = await Stack.start();
  client = await stack.client();
  await until('the server leads', () => client.desiredLrps.desire(webApp('neighbour', 1)));
  const [instance] = await client.actualLrps.waitForRunning('neighbour', { timeoutMs: 60_000 });
  if (instance === undefined) throw new Error('nothing runs');
  neighbour = instance;
  await neighbourNoticesNothing();
}, 120_000);
afterEach(async () => {
  await neighbourNoticesNothing();
  await expect(client.actualLrps.get('neighbour', 0)).resolves.toMatchObject([
    { instanceGuid: neighbour.instanceGuid, crashCount: 0 },
  ]);
});
afterAll(async () => {
  await stack?.close();
  // A cell that stopped everything takes its network away too.
  expect(readdirSync('/sys/class/net').filter((name) => name.startsWith(`rvt${process.pid}x`))).toEqual([]);
}, 120_000);

/** Allocates 200 MiB at once. */
const MEMORY_HOG = 'exec dd if=/dev/zero of=/dev/null bs=200M count=1';

describe('memory', { timeout: 90_000 }, () => {
  it('a task that wants more than it may have is killed, and that is its reason', async () => {
    const definition = task(MEMORY_HOG, {}, { memoryMb: 32 });
    await client.tasks.desire({ taskGuid: 'memory-hog', domain: 'test', definition });
    const done = await client.tasks.waitForCompletion('memory-hog', { timeoutMs: 60_000 });
    expect(done).toMatchObject({ failed: true, failureReason: 'APP: Exited with status 137 (out of memory)' });
  });

  it('an instance that wants more than it may have crashes with that reason', async () => {
    await client.desiredLrps.desire(lrp('memory-hogs', MEMORY_HOG, { memoryMb: 32 }));
    const crashed = await until('it has crashed', async () => {
      const [now] = await client.actualLrps.get('memory-hogs', 0);
      return now !== undefined && now.crashCount > 0 ? now : undefined;
    });
    expect(crashed.crashReason).toBe('APP: Exited with status 137 (out of memory)');
    await remove('memory-hogs');
  });

  it('never more than the limit is taken from the machine', async () => {
    const instance = await runs(lrp('memory', WAITS, { memoryMb: 32 }));
    expect(await inside(instance, MEMORY_HOG)).toMatchObject({ code: 137 });
    expect(Number(limitFile(instance, 'memory', { v1: 'memory.limit_in_bytes', v2: 'memory.max' }))).toBe(32 * MIB);
    const most = limitFile(instance, 'memory', { v1: 'memory.max_usage_in_bytes', v2: 'memory.peak' });
    expect(Number(most)).toBeLessThanOrEqual(32 * MIB);
    // The hog alone was killed.
    expect(await inside(instance, 'echo here')).toMatchObject({ code: 0, stdout: 'here\n' });
    await remove('memory');
  });
});

describe('disk', { timeout: 90_000 }, () => {
  it('a hog gets ENOSPC inside its quota, and the disk of the machine is not used up', async () => {
    const instance = await runs(lrp('disk-hog', WAITS, { diskMb: 32 }));
    const hog = await inside(instance, 'dd if=/dev/zero of=/hog bs=1M count=4096');
    expect(hog.code).toBe(1);
    expect(hog.stderr).toContain('No space left on device');
    const { stdout: size } = await inside(instance, 'wc -c < /hog');
    expect(Number(size)).toBeGreaterThan(28 * MIB);
    expect(Number(size)).toBeLessThanOrEqual(34 * MIB);
    // More files do not help it.
    const more = await inside(instance, 'i=0; while echo x > /file-$i; do i=$((i + 1)); done; exit 7');
    expect(more.stderr).toContain('No space left on device');
    const { dir } = placesOf(instance);
    const used = Number.parseInt(execFileSync('du', ['-skx', dir], { encoding: 'utf8' }), 10) * 1024;
    expect(used).toBeGreaterThan(28 * MIB);
    expect(used).toBeLessThan(40 * MIB);
    // There is room for others, and for itself again once it has cleared up.
    expect(await inside(neighbour, 'dd if=/dev/zero of=/room bs=1M count=8 && rm /room')).toMatchObject({ code: 0 });
    expect(await inside(instance, 'rm -f /hog /file-* && echo x > /again')).toMatchObject({ code: 0 });
    await remove('disk-hog');
    await until('its disk is given back', () => !existsSync(dir));
  });
});

describe('processes', { timeout: 90_000 }, () => {
  it('a fork bomb stays inside its limit', async () => {
    const MAX_PIDS = 64;
    // Each shell forks until it is refused and then ends. The first one must not fork once they are let go: it would end as well.
    const bomb = "sh -c 'until test -e /tmp/go; do :; done; while :; do sleep 1000 & done' &";
    const script = `mkfifo /tmp/wait; ${bomb} ${bomb} ${bomb} : > /tmp/go; ${WAITS}`;
    const instance = await runs(lrp('fork-bomb', script, { maxPids: MAX_PIDS }));
    const refused = await until('forks are refused', () => {
      const events = limitFile(instance, 'pids', { v1: 'pids.events', v2: 'pids.events' });
      return Number(/^max (\d+)/m.exec(events)?.[1]) || undefined;
    });
    expect(refused).toBeGreaterThan(0);
    const processes = processesOf(instance);
    expect(processes.length).toBeGreaterThan(MAX_PIDS / 2);
    expect(processes.length).toBeLessThanOrEqual(MAX_PIDS);

    // While it is going on, others fork, and new containers are made.
    await neighbourNoticesNothing();
    expect(await inside(neighbour, '(echo forks); (echo work)')).toMatchObject({ code: 0, stdout: 'forks\nwork\n' });
    await client.tasks.desire({ taskGuid: 'meanwhile', domain: 'test', definition: task('(true) && (true)') });
    expect(await client.tasks.waitForCompletion('meanwhile', { timeoutMs: 60_000 })).toMatchObject({ failed: false });
    expect(processesOf(instance).length).toBeLessThanOrEqual(MAX_PIDS);

    await remove('fork-bomb');
    await until('all its processes are gone', () => processesOf(instance).length === 0);
  });
});

describe('cpu', { timeout: 90_000 }, () => {
  it('weight is a share of what a container can have', async () => {
    const [light, heavy] = await Promise.all([
      runs(lrp('light', WAITS, { cpuWeight: 30 })),
      runs(lrp('heavy', WAITS, { cpuWeight: 100 })),
    ]);
    const shares = (instance: ActualLrp) => Number(limitFile(instance, 'cpu', { v1: 'cpu.shares', v2: 'cpu.weight' }));
    // In v2 the runtime maps shares 2..262144 onto weights 1..10000.
    expect([shares(light), shares(heavy)]).toEqual(cgroupVersion === 1 ? [307, 1024] : [12, 39]);
    await Promise.all(['light', 'heavy'].map(remove));
  });
});

/** Waits for ever without forking, whatever its children do, and ends when it is told to. */
const WAITS =
  'trap "exit 0" TERM; test -p /tmp/wait || mkfifo /tmp/wait; exec 3<>/tmp/wait; while :; do read line <&3; done';

function lrp(processGuid: string, script: string, spec: Partial<ContainerSpec>): DesiredLrp {
  return DesiredLrp.fromPartial({
    processGuid,
    domain: 'test',
    instances: 1,
    container: container({ logGuid: processGuid, ...spec }),
    action: shell(script),
  } as never);
}

async function runs(desired: DesiredLrp): Promise<ActualLrp> {
  await client.desiredLrps.desire(desired);
  const [instance] = await client.actualLrps.waitForRunning(desired.processGuid, { timeoutMs: 60_000 });
  if (instance === undefined) throw new Error(`${desired.processGuid} does not run`);
  return instance;
}

async function remove(processGuid: string): Promise<void> {
  await client.desiredLrps.remove(processGuid);
  await until(`${processGuid} is gone`, async () => (await instancesOf(client, processGuid)).length === 0);
}

/** Runs a script in an instance's container. */
async function inside({ key }: ActualLrp, script: string) {
  const target = {
    target: { $case: 'instance', value: { processGuid: key?.processGuid, index: key?.index } },
  } as const;
  const session = client.exec({ target, path: '/bin/sh', args: ['-c', script], user: 'root' });
  session.stdin.end();
  const [exit, stdout, stderr] = await Promise.all([session.exit, text(session.stdout), text(session.stderr)]);
  return { code: exit.code, stdout, stderr };
}

async function neighbourNoticesNothing(): Promise<void> {
  expect(await get(urlOf(neighbour))).toBe(`${neighbour.instanceGuid} 0`);
}

function placesOf(instance: ActualLrp) {
  return cellPlaces(join(stack.folder, instance.cellId), instance.cellId).container(instance.instanceGuid);
}

/** A file of the instance's control group. */
function limitFile(instance: ActualLrp, controller: string, name: { v1: string; v2: string }): string {
  const { cgroup } = placesOf(instance);
  const file = cgroupVersion === 1 ? join(controller, cgroup, name.v1) : join(cgroup, name.v2);
  return readFileSync(join('/sys/fs/cgroup', file), 'utf8');
}

/** Pids on this machine, found by looking at every process here. */
function processesOf(instance: ActualLrp): number[] {
  const { cgroup } = placesOf(instance);
  return allPids().filter((pid) => procFile(pid, 'cgroup').includes(cgroup));
}
