import { GardenServiceClient, GardenServiceService } from '@rivera/gen/rivera/garden/v1/garden_service';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { type GardenWorld, gardenContract } from '../garden/contract.js';
import type { Garden } from '../garden/garden.js';
import { ociWorld } from '../garden/oci/contract-world.js';
import { simWorld } from '../garden/sim/contract-world.js';
import { RemoteGarden } from './client/remote-garden.js';
import { GARDEN_ACCESS, gardenService } from './garden-service.js';

/** The same machine, with the wire between the suite and its garden. */
async function overTheWire(makeWorld: () => Promise<GardenWorld>): Promise<GardenWorld> {
  const world = await makeWorld();
  const bed = await TestBed.create();
  const [server, caller] = [await bed.identity('cell', 'cell-1'), await bed.identity('garden', 'tests')];
  const open = async (): Promise<Garden> => {
    const garden = await world.open();
    const host = await bed.host({ identity: server });
    host.add(GardenServiceService, gardenService({ garden, cellId: 'cell-1' }), GARDEN_ACCESS);
    const { port } = await host.listen('127.0.0.1:0');
    const client = bed.dial(GardenServiceClient, port, caller, { expect: 'cell', expectName: 'cell-1' });
    const remote = new RemoteGarden({ client, refreshMs: 20 });
    await remote.start();
    const close = remote.close.bind(remote);
    remote.close = async () => {
      await close();
      await host.close(1_000);
      await garden.close();
    };
    return remote;
  };
  return {
    ...world,
    open,
    async close() {
      await bed.close();
      await world.close();
    },
  };
}

gardenContract('sim over gRPC', () => overTheWire(simWorld));
gardenContract('oci over gRPC', () => overTheWire(ociWorld));
