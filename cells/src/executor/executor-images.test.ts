import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RunAction } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import { LogFilter } from '@rivera/gen/rivera/rep/v1/container';
import { systemClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { OciGarden } from '../garden/oci/oci-garden.js';
import { type ScratchCell, scratchCell } from '../garden/oci/scratch-cell.js';
import { fakeImage, layerTar } from '../images/testing/fake-image.js';
import { FakeRegistry } from '../images/testing/fake-registry.js';
import { defaultExecutorConfig } from './config.js';
import type { ContainerRecord, RunRequest } from './executor.js';
import { ContainerExecutor } from './executor-impl.js';
import { act, lineOf, runRequest } from './testing.js';

const BASIC = `Basic ${Buffer.from('me:secret').toString('base64')}`;

let cell: ScratchCell;
let directory: string;
let registry: FakeRegistry;
let garden: OciGarden;
let executor: ContainerExecutor;
let rootFs: string;

beforeAll(async () => {
  cell = await scratchCell();
  directory = await mkdtemp(join(tmpdir(), 'executor-images-'));
  registry = await FakeRegistry.open();
  const busybox = { name: 'bin/busybox', mode: 0o755, content: await readFile('/usr/bin/busybox') };
  const config = { Env: ['PATH=/bin', 'GREETING=hello'], WorkingDir: '/srv' };
  rootFs = registry.push('app', '1', fakeImage([await layerTar([busybox])], { config }));
  await open();
});
afterAll(async () => {
  for (const { guid } of executor.list()) await executor.delete(guid);
  expect(await cell.leaks()).toEqual([]);
  await close();
  await cell.remove();
  await registry.close();
  await rm(directory, { recursive: true, force: true });
});

async function open(): Promise<void> {
  garden = await cell.open();
  const common = { cellId: 'oci', garden, dataDirectory: directory, clock: systemClock, logger: silentLogger };
  executor = new ContainerExecutor({ ...common, config: defaultExecutorConfig() });
  await executor.start();
}

async function close(): Promise<void> {
  await executor.close();
  await garden.close();
}

async function run(guid: string, spec: Partial<ContainerSpec> = {}, recipe: Partial<RunRequest> = {}): Promise<void> {
  const container = ContainerSpec.fromPartial({ rootFs, logGuid: guid, logSource: 'APP', ...spec } as never);
  executor.reserve({ guid, memoryMb: 64, diskMb: 64, rootFs: container.rootFs, tags: {} });
  const args = ['sh', '-c', 'echo $GREETING; busybox pwd'];
  const action = act('runAction', RunAction.fromPartial({ path: '/bin/busybox', args, user: 'root' }));
  const log = { logGuid: guid, processGuid: guid, taskGuid: '', index: 0 };
  await executor.run(guid, runRequest({ action, container, log, ...recipe }));
}

async function ends(guid: string): Promise<ContainerRecord['result']> {
  const result = () => {
    const record = executor.get(guid);
    return record?.state === 'completed' ? record.result : undefined;
  };
  while (result() === undefined)
    await new Promise<void>((resolve) => {
      const unsubscribe = executor.subscribe(() => {
        unsubscribe();
        resolve();
      });
    });
  return result();
}

async function lines(guid: string): Promise<string[]> {
  const found: string[] = [];
  const all = executor.logs.read(LogFilter.fromPartial({ processGuid: guid }), new AbortController().signal);
  for await (const { entries } of all) found.push(...entries.map(lineOf));
  return found;
}

it('an image is fetched with the credentials of the definition, and its owner is told how it goes', async () => {
  registry.intercept = ({ headers }, response) => {
    if (headers.authorization === BASIC) return false;
    response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
    return true;
  };
  await run('good', { imageUsername: 'me', imagePassword: 'secret' });
  expect(await ends('good')).toMatchObject({ failed: false });
  const [, began, ended, , greeting, directoryOf] = await lines('good');
  expect(began).toBe(`CELL out Downloading image ${registry.host}/app:1: 1 layer`);
  expect(ended).toMatch(new RegExp(`^CELL out Downloaded image ${registry.host}/app:1: 1 layer, \\d\\.\\d MiB$`));
  expect([greeting, directoryOf]).toEqual(['APP out hello', 'APP out /srv']);

  const refused = `failed to create container: image ${registry.host}/app:1: unauthorised: `;
  await run('wrong', { imageUsername: 'me', imagePassword: 'guess' });
  const result = await ends('wrong');
  expect(result).toMatchObject({ failed: true, retryable: false });
  expect(result?.failureReason).toBe(`${refused}user 'me' may not pull it, or the password is wrong`);
  expect((await lines('wrong')).join()).not.toContain('guess');
  await run('nobody');
  expect((await ends('nobody'))?.failureReason).toMatch(new RegExp(`^${refused}.*no credentials were given$`));
});

it("without a path the image's program runs, with the arguments of the action or else its own", async () => {
  registry.intercept = () => false;
  const busybox = { name: 'bin/busybox', mode: 0o755, content: await readFile('/usr/bin/busybox') };
  const ExposedPorts = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`${9000 - index}/tcp`, {}]));
  const config = { Env: ['PATH=/bin'], Entrypoint: ['busybox', 'echo', 'I say'], Cmd: ['hello'], ExposedPorts };
  const image = registry.push('entry', '1', fakeImage([await layerTar([busybox])], { config }));
  const entry = (args: string[]) => act('runAction', RunAction.fromPartial({ args }));
  await run('own', { rootFs: image }, { action: entry([]) });
  await run('args', { rootFs: image }, { action: entry(['bye', 'now']), imagePorts: true });
  await run('none', {}, { action: entry([]) });
  expect(await ends('own')).toMatchObject({ failed: false });
  expect(await lines('own')).toContain('APP out I say hello');
  expect(executor.get('own')?.network?.ports).toEqual([]);
  await ends('args');
  expect(await lines('args')).toContain('APP out I say bye now');
  const mapped = executor.get('args')?.network?.ports.map(({ containerPort }) => containerPort);
  expect(mapped).toEqual(Array.from({ length: 16 }, (_, index) => 8981 + index));
  expect((await ends('none'))?.failureReason).toBe(
    'the action names no program, and the root filesystem has no entry point',
  );
});

it('what can not heal fails for good, with the reason of the registry; what may is left to be tried again', async () => {
  registry.intercept = () => false;
  await run('missing', { rootFs: rootFs.replace(':1', ':2') });
  expect(await ends('missing')).toMatchObject({
    retryable: false,
    failureReason: `failed to create container: image ${registry.host}/app:2: the registry has no such image`,
  });
  registry.intercept = (_request, response) => {
    response.writeHead(418).end();
    return true;
  };
  await run('odd');
  expect(await ends('odd')).toMatchObject({ retryable: true });
});

it('one that was told to stop while its image is fetched has been stopped', async () => {
  const waiting = new Promise<void>((resolve) => {
    registry.intercept = () => {
      resolve();
      return true;
    };
  });
  await run('stopped');
  await waiting;
  await executor.stop('stopped');
  expect(await ends('stopped')).toMatchObject({ stopped: true, failureReason: 'stopped-before-running' });
});

it('an executor that lets go does not wait for a registry, and a later one says what became of it', async () => {
  const waiting = new Promise<void>((resolve) => {
    registry.intercept = () => {
      resolve();
      return true;
    };
  });
  await run('cut');
  await waiting;
  await close();
  await open();
  expect(await ends('cut')).toMatchObject({ failed: true, retryable: true });
  expect(await readdir(join(cell.options.dataDir, 'images/tmp'))).toEqual([]);
});
