import type { ContainerNetwork } from './executor.js';

/** Where the variables of a process come from, lowest precedence first (spec cell §24). */
export interface EnvironmentLayers {
  image: Readonly<Record<string, string>>;
  /** INSTANCE_INDEX and the like. */
  instance: Readonly<Record<string, string>>;
  definition: readonly { name: string; value: string }[];
  /** Of the cell, where its certificates are. */
  cell: Readonly<Record<string, string>>;
  /** Of the run action. */
  action: readonly { name: string; value: string }[];
  network: ContainerNetwork;
  /** Whom the process runs as. */
  user: string;
}

/** All variables of a process. */
export function processEnvironment(layers: EnvironmentLayers): Record<string, string> {
  const environment: Record<string, string> = {
    ...layers.image,
    ...containerEnvironment(layers),
    ...fromList(layers.action),
    ...networkEnvironment(layers.network),
  };
  environment.PATH ??= isRoot(layers.user)
    ? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    : '/usr/local/bin:/usr/bin:/bin';
  environment.USER ??= layers.user === '' ? 'root' : layers.user;
  return environment;
}

/** What all processes of a container share, those of people included; known before the container is. */
export function containerEnvironment(
  layers: Pick<EnvironmentLayers, 'instance' | 'definition' | 'cell'>,
): Record<string, string> {
  return { ...layers.instance, ...fromList(layers.definition), ...layers.cell };
}

/** Variables that say where the container is reached. */
export function networkEnvironment(network: ContainerNetwork): Record<string, string> {
  const ports = network.ports.map(({ containerPort, hostPort }) => ({
    ...(hostPort !== 0 && { external: hostPort }),
    internal: containerPort,
  }));
  const [first] = network.ports;
  return {
    CF_INSTANCE_IP: network.hostAddress,
    CF_INSTANCE_INTERNAL_IP: network.containerAddress,
    ...(!first && { CF_INSTANCE_PORT: '', CF_INSTANCE_ADDR: '' }),
    ...(first &&
      first.hostPort !== 0 && {
        CF_INSTANCE_PORT: String(first.hostPort),
        CF_INSTANCE_ADDR: `${network.hostAddress}:${first.hostPort}`,
      }),
    CF_INSTANCE_PORTS: JSON.stringify(ports),
  };
}

function fromList(variables: readonly { name: string; value: string }[]): Record<string, string> {
  return Object.fromEntries(variables.map(({ name, value }) => [name, value]));
}

function isRoot(user: string): boolean {
  return user === '' || user === 'root' || user === '0' || user.startsWith('0:');
}
