import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RunAction } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultExecutorConfig } from '../config.js';
import { durationText } from '../duration-text.js';
import type { ContainerRecord, ContainerState } from '../executor.js';
import { act, run, runRequest } from '../testing.js';
import { gardenSpec, unsupported } from './garden-spec.js';
import { layOutMountedFiles } from './mounted-files.js';
import { ResourceLedger } from './resources.js';
import { type Transition, transition } from './transitions.js';

const record: ContainerRecord = {
  guid: 'c',
  state: 'reserved',
  tags: {},
  resources: { memoryMb: 1, diskMb: 1, containers: 1 },
  allocatedAtMs: 0,
  routable: false,
  internalRoutes: [],
  metricTags: {},
};

describe('transitions', () => {
  const result = { failed: true, failureReason: 'why', retryable: false, stopped: false };
  const changes: { [to in Transition['to']]: Transition } = {
    initializing: { to: 'initializing', internalRoutes: [], metricTags: {} },
    created: { to: 'created', network: { hostAddress: '', containerAddress: '', ports: [] } },
    running: { to: 'running', routable: true },
    completed: { to: 'completed', result },
  };

  it.each<[ContainerState, string]>([
    ['reserved', 'initializing completed'],
    ['initializing', 'created completed'],
    ['created', 'running completed'],
    ['running', 'completed'],
    ['completed', ''],
  ])('from %s to: %s', (from, to) => {
    const possible = Object.values(changes).filter(
      (change) => transition({ ...record, state: from }, change) !== undefined,
    );
    expect(possible.map((change) => change.to).join(' ')).toBe(to);
  });

  it('takes the traffic away at the end, and the middle out of a reason that is too long', () => {
    const running: ContainerRecord = { ...record, state: 'running', routable: true };
    const done = transition(running, {
      to: 'completed',
      result: { ...result, failureReason: `begin${'x'.repeat(20_000)}end` },
    });
    expect(done?.routable).toBe(false);
    expect(done?.result?.failureReason).toHaveLength(10_000);
    expect(done?.result?.failureReason).toMatch(/^beginx+\n\.\.\. \(truncated\)\nx+end$/);
  });
});

it('resources: all or nothing, and never below zero', () => {
  const ledger = new ResourceLedger({ memoryMb: 100, diskMb: 100, containers: 2 });
  expect(ledger.reserve({ memoryMb: 60, diskMb: 60, containers: 1 })).toBe(true);
  expect(ledger.reserve({ memoryMb: 10, diskMb: 60, containers: 1 })).toBe(false);
  expect(ledger.available).toEqual({ memoryMb: 40, diskMb: 40, containers: 1 });
  ledger.adopt({ memoryMb: 90, diskMb: 0, containers: 1 });
  expect(ledger.available).toEqual({ memoryMb: 0, diskMb: 40, containers: 0 });
  ledger.free({ memoryMb: 90, diskMb: 0, containers: 1 });
  expect(ledger.available.memoryMb).toBe(40);
});

const NOTHING = { mounts: [], variables: {} };

it('limits, ports, properties and environment as the garden wants them', () => {
  const container = ContainerSpec.fromPartial({
    rootFs: 'preloaded:busybox',
    memoryMb: 256,
    diskMb: 64,
    maxPids: 10,
    cpuWeight: 50,
    environmentVariables: [{ name: 'INSTANCE_INDEX', value: 'mine' }],
    network: { properties: { policy: 'p' } },
    egressRules: [{ protocol: 'tcp', destinations: ['10.0.0.0/8'], ports: [443] }],
  });
  const request = runRequest({
    action: run('/app'),
    container,
    ports: [8080, 8080, 9090],
    instanceEnv: { INSTANCE_INDEX: '1', INSTANCE_GUID: 'g' },
  });
  expect(gardenSpec('c', request, NOTHING, defaultExecutorConfig())).toEqual({
    handle: 'c',
    rootFs: 'preloaded:busybox',
    env: { INSTANCE_INDEX: 'mine', INSTANCE_GUID: 'g' },
    properties: { 'network.policy': 'p', 'executor:owner': 'executor' },
    limits: { memoryBytes: 268_435_456, diskBytes: 67_108_864, pids: 10, cpuShares: 512 },
    ports: [8080, 9090],
    egress: [
      {
        protocol: 'tcp',
        networks: [{ start: '10.0.0.0', end: '10.255.255.255' }],
        ports: [{ start: 443, end: 443 }],
        log: false,
      },
    ],
    mounts: [],
    privileged: false,
  });
  expect(gardenSpec('c', request, NOTHING, defaultExecutorConfig({ setCpuWeight: true })).limits.cpuShares).toBe(256);
});

it('knows what it can not do', () => {
  const asked = (spec: Partial<ContainerSpec>, privileged = false, imageSchemes: string[] = []): string | undefined =>
    unsupported(
      runRequest({
        action: run('/app'),
        container: ContainerSpec.fromPartial({ rootFs: 'preloaded:busybox', ...spec }),
      }),
      defaultExecutorConfig({ allowPrivileged: privileged }),
      { imageSchemes },
    );
  expect(asked({})).toBeUndefined();
  expect(asked({ rootFs: 'docker:///busybox' })).toBe(
    "root filesystems of scheme 'docker' are not supported by this cell",
  );
  expect(asked({ rootFs: 'docker:///busybox' }, false, ['docker'])).toBeUndefined();
  expect(asked({ rootFs: 'preloaded+layer:busybox?layer=x' })).toContain('needs a name, layer,');
  expect(asked({ privileged: true })).toContain('disabled');
  expect(asked({ privileged: true }, true)).toBeUndefined();
  expect(
    asked({
      imageLayers: [
        { name: '', url: '', destinationPath: '', layerType: 0, mediaType: 0, digestAlgorithm: 0, digestValue: '' },
      ],
    }),
  ).toContain('image layers');
});

describe('mounted files', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'files-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const layOut = (files: [string, string][], ofAction: [string, string][] = []) => {
    const asFiles = (list: [string, string][]) =>
      list.map(([path, content]) => ({ path, content: Buffer.from(content) }));
    const container = ContainerSpec.fromPartial({ rootFs: 'preloaded:busybox', volumeMountedFiles: asFiles(files) });
    const action = act(
      'runAction',
      RunAction.fromPartial({ path: '/app', user: 'vcap', volumeMountedFiles: asFiles(ofAction) }),
    );
    return layOutMountedFiles(join(directory, 'c'), runRequest({ action, container }));
  };

  it('of the definition and of its run actions', async () => {
    expect(await layOut([['/db/user', 'me']], [['db/password', 'secret']])).toEqual({
      source: join(directory, 'c'),
      destination: '/etc/cf-service-bindings',
      readOnly: true,
    });
    expect(await readFile(join(directory, 'c/db/user'), 'utf8')).toBe('me');
    expect(await readFile(join(directory, 'c/db/password'), 'utf8')).toBe('secret');
    expect((await stat(join(directory, 'c/db/user'))).mode & 0o777).toBe(0o444);
    expect(await layOut([])).toBeUndefined();
  });

  it('stay where they belong', async () => {
    const format = 'failed to extract volume-mounted-files directory. format is: /serviceName/fileName';
    for (const path of ['../x', 'a/../../x', 'a//b', '', '/', 'a/./b'])
      await expect(layOut([[path, '']]), path).rejects.toThrow(format);
    await expect(
      layOut([
        ['a', ''],
        ['a/b', ''],
      ]),
    ).rejects.toThrow("'a' is a directory as well");
    await expect(
      layOut([
        ['a', '1'],
        ['a', '2'],
      ]),
    ).rejects.toThrow("two volume-mounted files have the path 'a'");
    await expect(layOut([['a', 'x'.repeat(1_048_577)]])).rejects.toThrow('larger than 1048576 bytes');
  });
});

it('durations as the reference writes them', () => {
  expect([0, 500, 2000, 2004, 60_000, 90_500, 3_600_000].map(durationText)).toEqual([
    '0s',
    '500ms',
    '2s',
    '2.004s',
    '1m0s',
    '1m30.5s',
    '1h0m0s',
  ]);
});
