import { GardenServiceService } from '@rivera/gen/rivera/garden/v1/garden_service';
import { GrpcHost } from '@rivera/kit/grpc/host';
import { parseAddress, socketPathOf } from '@rivera/kit/grpc/listener';
import type { Logger } from '@rivera/kit/log';
import type { Identity } from '@rivera/kit/tls/identity';
import type { Garden } from '../garden/garden.js';
import { GARDEN_ACCESS, gardenService } from '../garden-api/garden-service.js';
import type { CellAdmin } from './cell-admin.js';

/** Where the garden is served for others. */
export interface GardenPort {
  /** host:port or unix:/PATH. */
  readonly address: string;
  close(): Promise<void>;
}

/**
 * Serves the garden for other programs, apart from what the servers call: another address can be behind another firewall.
 * Undefined where none is configured. @throws Error of Node, such as EADDRINUSE
 */
export async function openGardenPort(
  listen: string,
  o: { garden: Garden; cellId: string; identity: Identity; logger: Logger; admin: Pick<CellAdmin, 'observers'> },
): Promise<GardenPort | undefined> {
  if (listen === '') return undefined;
  const { garden, cellId, identity, logger, admin } = o;
  const host = new GrpcHost({ identity, logger, observers: admin.observers });
  host.add(GardenServiceService, gardenService({ garden, cellId }), GARDEN_ACCESS);
  const { port } = await host.listen(listen);
  const address = socketPathOf(listen) === undefined ? `${parseAddress(listen).host}:${port}` : listen;
  logger.info({ address }, 'the garden is served for others');
  return { address, close: () => host.close() };
}
