import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import { InstanceIssuer } from '@rivera/kit/tls/instance-issuer';
import { executorConfig } from '../executor/config.js';
import type { TransferTls } from '../executor/downloads/http-transfer.js';
import type { Executor } from '../executor/executor.js';
import { ContainerExecutor } from '../executor/executor-impl.js';
import { MemoryRecordStore } from '../executor/store/memory-record-store.js';
import type { RecordStore } from '../executor/store/record-store.js';
import type { Garden } from '../garden/garden.js';
import { OciGarden } from '../garden/oci/oci-garden.js';
import type { OciGardenOptions } from '../garden/oci/options.js';
import { SimMachine } from '../garden/sim/machine.js';
import { SimGarden } from '../garden/sim/sim-garden.js';
import { LocalDriver } from '../volumes/local-driver.js';
import type { CellConfig } from './config.js';

/** A machine that is only pretended, with its disk; it outlives the agents that are started on it. */
export interface SimulatedMachine {
  machine: SimMachine;
  store: RecordStore;
}

/** Garden and executor, on a real machine or a pretended one. */
export interface CellParts {
  garden: Garden;
  /** The garden has to be started first. */
  executor: Executor;
}

/** A pretended machine as large as the configuration says. */
export function simulateMachine(config: CellConfig, clock: Clock): SimulatedMachine {
  const { memoryMb, diskMb, containers, hostAddress, portRange } = config;
  const machine = new SimMachine({
    clock,
    hostAddress,
    firstPort: portRange.first,
    ...(memoryMb === 'auto' ? {} : { memoryMb }),
    ...(diskMb === 'auto' ? {} : { diskMb }),
    ...(containers === 'auto' ? {} : { containers }),
  });
  return { machine, store: new MemoryRecordStore() };
}

export interface MakePartsOptions {
  logger: Logger;
  clock: Clock;
  /** One that is never set, for the garden, which asks only how long something takes; default: `clock`. */
  steady?: Clock;
  /** Of downloads and uploads. */
  transferTls?: TransferTls | undefined;
  /** Signs containers' certificates. */
  issuer?: InstanceIssuer | undefined;
  simulated?: SimulatedMachine | undefined;
  /** Puts something around the garden that times what it does. */
  measured?: ((garden: Garden) => Garden) | undefined;
}

/** Makes what the configuration asks for. */
export function makeParts(
  config: CellConfig,
  { logger, clock, steady = clock, issuer, transferTls, simulated, measured = (garden) => garden }: MakePartsOptions,
): CellParts {
  const { cellId, dataDir } = config;
  const common = {
    cellId,
    config: executorConfig.parse({
      ...config.executor,
      memoryMb: config.memoryMb,
      diskMb: config.diskMb,
      maxContainers: config.containers,
      allowPrivileged: config.allowPrivileged,
    }),
    dataDirectory: join(dataDir, 'executor'),
    clock,
    steady,
    logger,
    issuer,
    transferTls,
  };
  switch (config.backend) {
    case 'oci': {
      const volumeDrivers = config.localVolumes ? [new LocalDriver(join(dataDir, 'volumes'))] : [];
      const garden = measured(new OciGarden(ociOptionsOf(config, { logger, clock: steady })));
      return { garden, executor: new ContainerExecutor({ ...common, garden, volumeDrivers }) };
    }
    case 'sim': {
      const { machine, store } = simulated ?? simulateMachine(config, clock);
      const garden = measured(new SimGarden(machine));
      return { garden, executor: new ContainerExecutor({ ...common, garden, store }) };
    }
  }
}

/** Whom downloads and uploads trust, and who they are. @throws Error that names the file that can't be read */
export async function openTransferTls({ executor }: CellConfig): Promise<TransferTls> {
  const { ca, cert, key } = executor.transferTls;
  const [caPem, certPem, keyPem] = await Promise.all(
    [ca, cert, key].map((file) => (file === '' ? undefined : readFile(file, 'utf8'))),
  );
  return {
    ...(caPem !== undefined && { caPem }),
    ...(certPem !== undefined && keyPem !== undefined && { clientCertificate: { certPem, keyPem } }),
  };
}

/** The authority of containers' certificates, if one is configured. @throws Error that says what is wrong with it */
export async function openIssuer({ executor }: CellConfig, platformCaPem: string): Promise<InstanceIssuer | undefined> {
  const { ca, key } = executor.instanceIdentity;
  return ca === '' ? undefined : InstanceIssuer.open({ ca, key, platformCaPem });
}

/** The folder whose folders are offered as `preloaded:NAME`. */
export function rootFsDirOf({ rootFsDir, dataDir }: CellConfig): string {
  return rootFsDir || join(dataDir, 'rootfs');
}

/** What a cell's settings say to its garden. */
export function ociOptionsOf(
  config: CellConfig,
  { logger, clock }: { logger: Logger; clock: Clock },
): OciGardenOptions {
  const { cellId, dataDir, subnet, bridge, hostAddress, portRange, containers, allowPrivileged } = config;
  const { imageCache, insecureRegistries, userNamespaces, subnet6, denyNetworks, hostServices } = config;
  const { maxPids, maxExecs, streamIdleTimeout, runtime } = config;
  return {
    cellId,
    dataDir,
    rootFsDir: rootFsDirOf(config),
    runtime,
    subnet,
    bridge,
    subnet6,
    denyNetworks,
    hostServices,
    hostAddress,
    portRange,
    allowPrivileged,
    userNamespaces,
    maxPids,
    maxExecs,
    streamIdleMs: streamIdleTimeout,
    imageCacheBytes: imageCache,
    insecureRegistries,
    ...(containers === 'auto' ? {} : { capacity: { containers } }),
    log: logger,
    clock,
  };
}
