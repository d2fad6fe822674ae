import { PassThrough } from 'node:stream';
import { GardenServiceClient, GardenServiceService } from '@rivera/gen/rivera/garden/v1/garden_service';
import { systemClock } from '@rivera/kit/clock';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { plainSpec } from '../../garden/contract.js';
import { SimMachine } from '../../garden/sim/machine.js';
import { SimGarden } from '../../garden/sim/sim-garden.js';
import { GARDEN_ACCESS, gardenService } from '../garden-service.js';
import { RemoteGarden } from './remote-garden.js';

let bed: TestBed;
let garden: RemoteGarden;

beforeAll(async () => {
  bed = await TestBed.create();
  const host = await bed.host({ identity: await bed.identity('cell', 'cell-1') });
  const local = new SimGarden(new SimMachine({ clock: systemClock }));
  host.add(GardenServiceService, gardenService({ garden: local, cellId: 'cell-1' }), GARDEN_ACCESS);
  const { port } = await host.listen('127.0.0.1:0');
  const client = bed.dial(GardenServiceClient, port, await bed.identity('garden', 'tests'), { expect: 'cell' });
  garden = new RemoteGarden({ client });
  await garden.start();
});
afterAll(async () => {
  await garden?.close();
  await bed?.close();
});

it.each([
  ['with an error', new Error('the disk is gone')],
  ['without a word', undefined],
])('an archive that breaks off %s is told and not waited for', async (_how, error) => {
  const container = await garden.create(plainSpec(`c${error ? 1 : 2}`, 'preloaded:busybox'));
  const tar = new PassThrough();
  tar.write(Buffer.alloc(512));
  const sending = container.streamIn('/tmp', 'root', tar);
  setImmediate(() => tar.destroy(error));
  await expect(sending).rejects.toMatchObject({
    kind: 'stream-failed',
    message: 'stream-in: the archive could not be read',
  });
});
