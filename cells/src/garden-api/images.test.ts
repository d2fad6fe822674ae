import { readFile } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import { GardenServiceClient, GardenServiceService } from '@rivera/gen/rivera/garden/v1/garden_service';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { plainSpec } from '../garden/contract.js';
import type { OciGarden } from '../garden/oci/oci-garden.js';
import { type ScratchCell, scratchCell } from '../garden/oci/scratch-cell.js';
import { fakeImage, layerTar } from '../images/testing/fake-image.js';
import { FakeRegistry } from '../images/testing/fake-registry.js';
import { RemoteGarden } from './client/remote-garden.js';
import { GARDEN_ACCESS, gardenService } from './garden-service.js';

let bed: TestBed;
let cell: ScratchCell;
let registry: FakeRegistry;
let garden: OciGarden;
let client: GardenServiceClient;
let remote: RemoteGarden;
let rootFs: string;

beforeAll(async () => {
  bed = await TestBed.create();
  cell = await scratchCell();
  registry = await FakeRegistry.open();
  const busybox = { name: 'bin/busybox', mode: 0o755, content: await readFile('/usr/bin/busybox') };
  rootFs = registry.push('app', '1', fakeImage([await layerTar([busybox])], {}));
  garden = await cell.open();
  const host = await bed.host({ identity: await bed.identity('cell', 'cell-1') });
  host.add(GardenServiceService, gardenService({ garden, cellId: 'cell-1' }), GARDEN_ACCESS);
  const { port } = await host.listen('127.0.0.1:0');
  client = bed.dial(GardenServiceClient, port, await bed.identity('garden', 'tests'), { expect: 'cell' });
  remote = new RemoteGarden({ client });
  await remote.start();
});
afterEach(async () => {
  await Promise.all(garden.list().map(({ handle }) => garden.destroy(handle)));
  expect(await cell.leaks()).toEqual([]);
});
afterAll(async () => {
  await remote?.close();
  await bed?.close();
  await garden?.close();
  await cell?.remove();
  await registry?.close();
});

it('whoever makes a container of an image is told how the image comes', async () => {
  const told: string[] = [];
  const container = await remote.create(plainSpec('pulled', rootFs), { progress: (text) => told.push(text) });
  expect(told[0]).toBe(`Downloading image ${registry.host}/app:1: 1 layer`);
  expect(told.at(-1)).toMatch(new RegExp(`^Downloaded image ${registry.host}/app:1: 1 layer, \\d\\.\\d MiB$`));
  expect(garden.lookup(container.handle)).toBeDefined();
});

it('one that can not be had is refused with its status, after what was told', async () => {
  const missing = remote.create(plainSpec('missing', rootFs.replace(':1', ':2')));
  await expect(missing).rejects.toMatchObject({
    kind: 'image-failed',
    cause: { reason: 'IMAGE_FAILED', code: status.FAILED_PRECONDITION },
  });
  await expect(remote.create(plainSpec('../x', rootFs))).rejects.toMatchObject({ kind: 'create-failed' });
});

it('a client that gives up ends the fetching', async () => {
  const leaving = new AbortController();
  const asked = new Promise<void>((resolve) => {
    registry.intercept = (_request, response) => {
      // Says nothing; the cell has to let go of it.
      response.on('close', resolve);
      leaving.abort(new Error('enough'));
      return true;
    };
  });
  const creating = remote.create(plainSpec('given-up', rootFs.replace(':1', ':3')), { signal: leaving.signal });
  await expect(creating).rejects.toThrow('enough');
  await asked;
  registry.intercept = () => false;
  expect(garden.list()).toEqual([]);
});
