import type { Garden, GardenSpec } from '../../garden/garden.js';
import type { ExecutorConfig } from '../config.js';
import { containerEnvironment } from '../environment.js';
import type { RunRequest } from '../executor.js';
import type { CellMounts } from './cell-mounts.js';
import { egressOf } from './egress.js';
import { LAYERED_SCHEME, layeredRootFs } from './layered-rootfs.js';

export const MIB = 1024 * 1024;

/** Marks the garden's containers as the executor's own; others are never touched. */
export const OWNER_PROPERTY = 'executor:owner';
export const OWNER = 'executor';

/** What a root filesystem's URL begins with. */
export function schemeOf(rootFs: string): string {
  return rootFs.slice(0, Math.max(0, rootFs.indexOf(':')));
}

/** What a definition asks for that this cell doesn't have; undefined when it can be had. */
export function unsupported(
  { container }: RunRequest,
  config: ExecutorConfig,
  { imageSchemes }: Pick<Garden, 'imageSchemes'>,
): string | undefined {
  const scheme = schemeOf(container.rootFs);
  if (scheme !== 'preloaded' && scheme !== LAYERED_SCHEME && !imageSchemes.includes(scheme)) {
    return `root filesystems of scheme '${scheme}' are not supported by this cell`;
  }
  try {
    layeredRootFs(container);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  if (container.imageLayers.length > 0) return 'image layers are not supported by this cell';
  if (container.privileged && !config.allowPrivileged) return 'privileged container creation is disabled';
  return undefined;
}

/** What the garden is to make of a definition (spec cell §32). @throws EgressError */
export function gardenSpec(
  guid: string,
  request: RunRequest,
  { mounts, variables }: CellMounts,
  config: ExecutorConfig,
): GardenSpec {
  const { container, instanceEnv } = request;
  const networkProperties = Object.entries(container.network?.properties ?? {}).map(([key, value]) => [
    `network.${key}`,
    value,
  ]);
  const cpuShares = config.setCpuWeight
    ? Math.max(0, container.memoryMb)
    : Math.floor((config.containerMaxCpuShares * container.cpuWeight) / 100);
  const cpuMillicores = Math.ceil(cpuShares * config.cpuQuotaPerShare);
  return {
    handle: guid,
    rootFs: layeredRootFs(container)?.base ?? container.rootFs,
    env: containerEnvironment({
      instance: instanceEnv,
      definition: container.environmentVariables,
      cell: variables,
    }),
    properties: { ...Object.fromEntries(networkProperties), [OWNER_PROPERTY]: OWNER },
    limits: {
      memoryBytes: Math.max(0, container.memoryMb) * MIB,
      diskBytes: Math.max(0, container.diskMb) * MIB,
      pids: Math.max(0, container.maxPids),
      cpuShares,
      ...(cpuMillicores > 0 && { cpuMillicores }),
    },
    ports: [...new Set(request.ports)],
    ...(request.imagePorts && { imagePorts: true }),
    egress: egressOf(container.egressRules),
    mounts,
    privileged: container.privileged,
  };
}
