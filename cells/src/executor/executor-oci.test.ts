import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DownloadAction, RunAction, UploadAction } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec, SecurityGroupRule } from '@rivera/gen/rivera/recipe/v1/container';
import { LogFilter } from '@rivera/gen/rivera/rep/v1/container';
import { systemClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { Authority } from '@rivera/kit/tls/authority';
import { InstanceIssuer } from '@rivera/kit/tls/instance-issuer';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Outside } from '../garden/oci/network/outside.js';
import type { OciGarden } from '../garden/oci/oci-garden.js';
import type { OciGardenOptions } from '../garden/oci/options.js';
import { type ScratchCell, scratchCell } from '../garden/oci/scratch-cell.js';
import { mountsBelow } from '../kernel/mounts.js';
import { LocalDriver } from '../volumes/local-driver.js';
import { defaultExecutorConfig } from './config.js';
import { tgzOf } from './downloads/archives-for-tests.js';
import { TestServer } from './downloads/server-for-tests.js';
import type { ContainerRecord, RunRequest } from './executor.js';
import { ContainerExecutor } from './executor-impl.js';
import { act, lineOf, portChecks, runRequest, serial } from './testing.js';

let cell: ScratchCell;
let directory: string;
let garden: OciGarden;
let executor: ContainerExecutor;
let issuer: InstanceIssuer;

beforeAll(async () => {
  cell = await scratchCell();
  directory = await mkdtemp(join(tmpdir(), 'executor-oci-'));
  const platform = await Authority.open(join(directory, 'platform'));
  await Authority.open(join(directory, 'instances'));
  const authority = { ca: join(directory, 'instances/ca.crt'), key: join(directory, 'instances/ca.key') };
  issuer = await InstanceIssuer.open({ ...authority, platformCaPem: platform.caPem });
  await open();
}, 120_000);

afterAll(async () => {
  for (const { guid } of executor.list()) await executor.delete(guid);
  expect(await cell.leaks()).toEqual([]);
  await close();
  await cell.remove();
  await rm(directory, { recursive: true, force: true });
}, 120_000);

async function open(more: Partial<OciGardenOptions> = {}): Promise<void> {
  garden = await cell.open(more);
  executor = new ContainerExecutor({
    cellId: 'oci',
    garden,
    config: defaultExecutorConfig({ unhealthyMonitoringInterval: 200, gracefulShutdownInterval: 1000 }),
    dataDirectory: directory,
    clock: systemClock,
    logger: silentLogger,
    issuer,
    volumeDrivers: [new LocalDriver(join(directory, 'local'))],
  });
  await executor.start();
}

async function close(): Promise<void> {
  await executor.close();
  await garden.close();
}

/** Resolves when no process has a text among its arguments any more; the runner that says so fails the test by its time. */
async function untilGone(text: string): Promise<void> {
  const lives = async (pid: string) => (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(text);
  for (;;) {
    const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry) && entry !== String(process.pid));
    if (!(await Promise.all(pids.map(lives))).includes(true)) return;
    await systemClock.sleep(20);
  }
}

const shell = (script: string): RunRequest['action'] =>
  act('runAction', RunAction.fromPartial({ path: '/bin/sh', args: ['-c', script], user: 'root' }));

async function run(
  guid: string,
  recipe: Partial<RunRequest> & Pick<RunRequest, 'action'>,
  spec: Partial<ContainerSpec> = {},
): Promise<void> {
  executor.reserve({ guid, memoryMb: 64, diskMb: 64, rootFs: cell.rootFs, tags: {} });
  const container = ContainerSpec.fromPartial({
    rootFs: cell.rootFs,
    memoryMb: 64,
    diskMb: 64,
    maxPids: 64,
    logGuid: 'log',
    logSource: 'APP',
    ...spec,
  });
  await executor.run(guid, { ...runRequest(recipe), container });
}

function reaches(guid: string, state: ContainerRecord['state']): Promise<ContainerRecord> {
  return new Promise((resolve, reject) => {
    const look = (): boolean => {
      const record = executor.get(guid);
      if (record?.state !== state && record?.state !== 'completed') return false;
      if (record.state === state) resolve(record);
      else reject(new Error(`${guid} ended: ${record.result?.failureReason}`));
      return true;
    };
    if (look()) return;
    const unsubscribe = executor.subscribe(() => {
      if (look()) unsubscribe();
    });
  });
}

async function lines(): Promise<string[]> {
  const found: string[] = [];
  const batches = executor.logs.read(LogFilter.fromPartial({ processGuid: 'app' }), new AbortController().signal);
  for await (const { entries } of batches) found.push(...entries.map(lineOf));
  return found;
}

it('a web server is running once its port answers, outlives the executor, and stops when it is told to', async () => {
  const web = shell('mkdir -p /www; echo hello > /www/index.html; exec httpd -f -p 8080 -h /www');
  const check = portChecks([8080]);
  check.checks.push({
    ...check.checks[0],
    probe: { $case: 'httpCheck', value: { port: 8080, path: '/index.html' } },
    interval: undefined,
    timeout: undefined,
    failureThreshold: 0,
  });
  await run('web', { action: web, checkDefinition: check, ports: [8080], startTimeoutMs: 20_000 });
  const { network } = await reaches('web', 'running');
  const get = async (): Promise<string> =>
    (await fetch(`http://${network?.hostAddress}:${network?.ports[0]?.hostPort}/`)).text();
  expect(await get()).toBe('hello\n');
  await close();
  expect(await get()).toBe('hello\n');
  await open();
  expect(executor.get('web')?.state).toBe('running');
  expect(await get()).toBe('hello\n');
  await executor.stop('web');
  expect((await reaches('web', 'completed')).result).toMatchObject({ stopped: true });
  await executor.delete('web');
  expect(garden.list()).toEqual([]);
}, 60_000);

it('what a definition allows is all that leaves a container of a cell that denies the rest', async () => {
  const outside = await Outside.open({ tcp: [8000, 8001], udp: [] });
  const [address] = outside.addresses;
  await close();
  await open({ denyNetworks: ['0.0.0.0/0', '::/0'] });
  try {
    const get = (port: number) => `wget -q -O /dev/null http://${address}:${port}/ 2>/dev/null`;
    const action = () => shell(`${get(8000)} && echo allowed; ${get(8001)} || echo refused; exit 4`);
    const rule = { protocol: 'tcp', destinations: [`${address}/32`], ports: [8000] };
    await run('egress', { action: action() }, { egressRules: [SecurityGroupRule.fromPartial(rule)] });
    await run('none', { action: shell(`${get(8000)} || exit 5`) });
    await run(
      'bad',
      { action: action() },
      { egressRules: [SecurityGroupRule.fromPartial({ ...rule, destinations: ['nowhere'] })] },
    );
    const reasons = ['egress', 'none', 'bad'].map(
      async (guid) => (await reaches(guid, 'completed')).result?.failureReason,
    );
    expect(await Promise.all(reasons)).toEqual([
      'APP: Exited with status 4',
      'APP: Exited with status 5',
      "failed to create container: egress rule 0: failed to convert destination to ip range: 'nowhere'",
    ]);
    expect((await lines()).filter((line) => /allowed|refused/.test(line))).toEqual([
      'APP out allowed',
      'APP out refused',
    ]);
  } finally {
    for (const guid of ['egress', 'none', 'bad']) await executor.delete(guid);
    await close();
    await open();
    await outside.close();
  }
}, 60_000);

it('a task that ends while no executor runs has run once, and its exit and output are known', async () => {
  await run('task', { action: shell('echo once >> /tmp/runs; echo working; sleep 1; exit 3') });
  await reaches('task', 'running');
  await close();
  await untilGone('sleep 1; exit 3');
  await open();
  expect((await reaches('task', 'completed')).result).toEqual({
    failed: true,
    failureReason: 'APP: Exited with status 3',
    retryable: false,
    stopped: false,
  });
  expect(await executor.readFile('task', '/tmp/runs', 100)).toBe('once\n');
  expect(await lines()).toContain('APP out working');
  await executor.delete('task');
}, 60_000);

it('archives go in, files go out, and the environment is there', async () => {
  const server = await TestServer.open();
  const body = await tgzOf({
    name: 'bin/greet',
    content: '#!/bin/sh\necho "$GREETING $INSTANCE_INDEX $CF_INSTANCE_PORTS"\n',
    mode: 0o755,
  });
  server.answer = (request, response) =>
    request.method === 'GET' ? response.end(body) : response.writeHead(200).end();
  const download = act(
    'downloadAction',
    DownloadAction.fromPartial({ artifact: 'app', from: `${server.url}/app`, to: '/home/app', user: 'root' }),
  );
  const upload = act(
    'uploadAction',
    UploadAction.fromPartial({ from: '/tmp/said', to: `${server.url}/said`, user: 'root' }),
  );
  await run(
    'transfer',
    {
      setup: download,
      action: serial(
        shell('/home/app/bin/greet > /tmp/said; cat /etc/cf-service-bindings/db/name >> /tmp/said'),
        upload,
      ),
      instanceEnv: { INSTANCE_INDEX: '7' },
    },
    {
      environmentVariables: [{ name: 'GREETING', value: 'hi' }],
      volumeMountedFiles: [{ path: 'db/name', content: Buffer.from('mydb') }],
    },
  );
  expect((await reaches('transfer', 'completed')).result).toMatchObject({ failed: false });
  expect(server.seen.at(-1)?.body.toString()).toBe('hi 7 []\nmydb');
  await executor.delete('transfer');
  await server.close();
}, 60_000);

it('a layer on top of the root filesystem is there before anything runs, and is fetched once for many', async () => {
  const server = await TestServer.open();
  const body = await tgzOf({ name: 'bin/greet', content: '#!/bin/sh\necho layered\n', mode: 0o755 });
  server.serve(() => ({ body, etag: '"1"' }));
  const digest = createHash('sha256').update(body).digest('hex');
  const layer = encodeURIComponent(`${server.url}/layer.tgz`);
  const rootFs = `preloaded+layer:busybox?layer=${layer}&layer_path=/home/app&layer_digest=${digest}`;
  for (const guid of ['layer-1', 'layer-2']) {
    await run(
      guid,
      { setup: shell('/home/app/bin/greet'), action: shell('stat -c %u /home/app/bin/greet') },
      {
        rootFs,
        legacyDownloadUser: 'vcap',
      },
    );
    expect((await reaches(guid, 'completed')).result).toMatchObject({ failed: false });
    await executor.delete(guid);
  }
  expect(server.seen.map(({ headers }) => headers['if-none-match'])).toEqual([undefined, '"1"']);
  expect((await lines()).filter((line) => line === 'APP out layered')).toHaveLength(2);
  expect(await lines()).toContain('APP out 1000');
  const reserve = (name: string) => () =>
    executor.reserve({ guid: 'x', memoryMb: 1, diskMb: 1, rootFs: `preloaded+layer:${name}?layer=x`, tags: {} });
  expect(reserve('unknown')).toThrow('this cell has no root filesystem');
  await server.close();
}, 60_000);

it('a monitor runs inside, and its failure is told', async () => {
  const monitor = shell(
    'test -f /tmp/up || { echo not up; exit 1; }; test $(ulimit -n) = 77 || { ulimit -n; exit 1; }',
  );
  const { value } = monitor.action as { value: RunAction };
  value.resourceLimits = { nofile: 77 };
  await run('monitored', { action: shell('sleep 1; touch /tmp/up; sleep 100'), monitor, startTimeoutMs: 20_000 });
  await reaches('monitored', 'running');
  expect(await lines()).toContain('APP out not up');
  await executor.delete('monitored');
}, 60_000);

it('who takes too much memory is told so', async () => {
  await run('hog', { action: shell('x=a; while true; do x="$x$x"; done') });
  expect((await reaches('hog', 'completed')).result?.failureReason).toMatch(
    /^APP: Exited with status \d+ \(out of memory\)$/,
  );
  await executor.delete('hog');
}, 60_000);

it('a sidecar that takes more than its share fails for it, and the app had enough', async () => {
  const hog = shell('while [ ! -e /tmp/go ]; do sleep 0.1; done; exec dd if=/dev/zero of=/dev/null bs=40M count=1');
  const app = shell(
    'dd if=/dev/zero of=/dev/null bs=40M count=1 2>/dev/null; echo enough; touch /tmp/go; exec sleep 1000',
  );
  const sidecars = [{ action: hog, memoryMb: 24, diskMb: 0 }];
  const earlier = (await lines()).length;
  await run('shares', { action: app, sidecars }, { memoryMb: 128 });
  expect((await reaches('shares', 'completed')).result?.failureReason).toBe(
    'APP: Exited with status 137 (out of memory)',
  );
  const said = (await lines()).slice(earlier);
  expect(said).toContain('APP out enough');
  expect(said.filter((line) => line.includes('status'))).toEqual([
    'APP out Exit status 137 (out of memory)',
    'APP out Exit status 143',
  ]);
  await executor.delete('shares');
}, 60_000);

it('a program of any user can show who it is, and nobody in the container can change that', async () => {
  const script =
    'cat $CF_INSTANCE_CERT $CF_INSTANCE_KEY > /tmp/pair; echo x 2>/dev/null > $CF_INSTANCE_KEY && echo written; sleep 100';
  const action = act('runAction', RunAction.fromPartial({ path: '/bin/sh', args: ['-c', script], user: '2000:2000' }));
  const checkDefinition = { checks: [], readinessChecks: [], logSource: '' };
  await run('shown', { action, checkDefinition });
  const { network } = await reaches('shown', 'running');
  await vi.waitFor(async () => {
    const text = await executor.readFile('shown', '/tmp/pair', 100_000);
    const certificate = new X509Certificate(text);
    expect(certificate.checkPrivateKey(createPrivateKey(text.slice(text.indexOf('-----BEGIN PRIVATE'))))).toBe(true);
    expect(certificate.subjectAltName).toBe(`DNS:shown, IP Address:${network?.containerAddress}`);
  }, 30_000);
  expect(await lines()).not.toContain('APP out written');
  await executor.delete('shown');
}, 60_000);

it('mounts volumes: shared ones into several containers, each with its mode, kept over restarts and removals', async () => {
  const shared = { $case: 'shared' as const, value: { volumeId: 'data', mountConfig: '{"uid":1000}' } };
  const dedicated = { $case: 'dedicated' as const, value: { mounterId: 'own', mountConfig: '', deviceConfig: '' } };
  const mount = (containerDir: string, mode: string, device: typeof shared | typeof dedicated) => ({
    driver: 'local',
    containerDir,
    mode,
    device,
  });
  const request = (script: string, mounts: ReturnType<typeof mount>[]) =>
    runRequest({
      action: act('runAction', RunAction.fromPartial({ path: '/bin/sh', args: ['-ec', script], user: 'vcap' })),
      container: ContainerSpec.fromPartial({ rootFs: cell.rootFs, logSource: 'APP', volumeMounts: mounts }),
    });
  const begin = async (guid: string, script: string, mounts: ReturnType<typeof mount>[]) => {
    executor.reserve({ guid, memoryMb: 10, diskMb: 10, rootFs: cell.rootFs, tags: {} });
    await executor.run(guid, request(script, mounts));
  };
  const endOf = async (guid: string) => {
    await expect.poll(() => executor.get(guid)?.state, { timeout: 30_000 }).toBe('completed');
    return executor.get(guid)?.result?.failureReason;
  };
  const both = [mount('/data', 'rw', shared), mount('/data/own', 'rw', dedicated)];
  await begin('writer', 'echo hello > /data/file; echo mine > /data/own/file; exec sleep 1000', both);
  const written = join(directory, 'local/dedicated/own/file');
  await expect.poll(() => readFile(written, 'utf8').catch(() => ''), { timeout: 30_000 }).toBe('mine\n');
  await begin('reader', 'test "$(cat /data/file)" = hello; test $(stat -c %u /data/file) = 1000; ! touch /data/x', [
    mount('/data', 'r', shared),
  ]);
  expect(await endOf('reader')).toBe('');
  await begin('second', 'true', [mount('/own', 'rw', dedicated)]);
  expect(await endOf('second')).toBe(
    "failed to mount volume: volume 'own' is dedicated, and in use by container writer",
  );
  // A new life of the agent knows who has what.
  await close();
  await open();
  await begin('third', 'true', [mount('/own', 'rw', dedicated)]);
  expect(await endOf('third')).toContain('in use by container writer');
  for (const guid of ['writer', 'reader', 'second', 'third']) await executor.delete(guid);
  expect(await readdir(join(directory, 'volumes'))).toEqual([]);
  await begin('heir', 'cat /own/file', [mount('/own', 'r', dedicated)]);
  expect(await endOf('heir')).toBe('');
  await executor.delete('heir');
  expect(await readFile(written, 'utf8')).toBe('mine\n');
  const small = { $case: 'shared' as const, value: { volumeId: 'small', mountConfig: '{"size":"8MiB"}' } };
  const fill =
    'dd if=/dev/zero of=/small/a bs=1M count=7 2>/dev/null; ! dd if=/dev/zero of=/small/b bs=1M count=2 2>&1';
  await begin('filler', fill, [mount('/small', 'rw', small)]);
  expect(await endOf('filler')).toBe('');
  expect((await lines()).filter((line) => line.includes('No space left'))).toHaveLength(1);
  await executor.delete('filler');
  expect(await mountsBelow(directory)).toEqual([]);
}, 90_000);
