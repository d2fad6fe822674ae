import { Action, CheckDefinition, RunAction } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import { usageError } from '../failures.js';
import { toDuration } from '../terminal/time.js';
import { type HealthProbe, parseEnvironment } from './quantities.js';

/** What `task run` and `lrp run` have in common. Undefined members leave a spec file's value, or the default. */
export interface WorkFlags {
  rootfs?: string;
  memory?: number;
  disk?: number;
  pids?: number;
  env?: readonly string[];
  user?: string;
  dir?: string;
}

/** What work gets that does not say what it needs: enough for a shell and a small server. */
export const DEFAULTS = {
  rootFs: 'preloaded:busybox',
  memoryMb: 64,
  diskMb: 256,
  maxPids: 256,
  user: 'root',
  domain: 'cli',
  lrpSource: 'APP',
  taskSource: 'TASK',
} as const;

/** A container from a spec file's container (if any) with the flags on top. */
export function containerFrom(
  base: ContainerSpec | undefined,
  flags: WorkFlags,
  identity: { logGuid: string; logSource: string },
  env: NodeJS.ProcessEnv,
): ContainerSpec {
  const container = base === undefined ? ContainerSpec.fromPartial({}) : structuredClone(base);
  const variables = parseEnvironment(flags.env ?? [], env);
  const replaced = new Set(variables.map((variable) => variable.name));
  const inherited = container.environmentVariables.filter((variable) => !replaced.has(variable.name));
  container.rootFs = flags.rootfs ?? (container.rootFs || DEFAULTS.rootFs);
  container.environmentVariables = [...inherited, ...variables];
  container.memoryMb = flags.memory ?? (base === undefined ? DEFAULTS.memoryMb : container.memoryMb);
  container.diskMb = flags.disk ?? (base === undefined ? DEFAULTS.diskMb : container.diskMb);
  container.maxPids = flags.pids ?? (base === undefined ? DEFAULTS.maxPids : container.maxPids);
  container.logGuid ||= identity.logGuid;
  container.logSource ||= identity.logSource;
  return container;
}

/**
 * The action that runs a command line; with no command, the spec file's, and in an image of a registry what that runs.
 * A program without a slash is looked up in the container's PATH.
 */
export function actionFrom(
  base: Action | undefined,
  command: readonly string[],
  flags: WorkFlags,
  rootFs: string,
): Action {
  const [path, ...args] = command;
  const isImage = !rootFs.startsWith('preloaded');
  if (path === undefined && base !== undefined) return base;
  if (path === undefined && !isImage)
    throw usageError('nothing to run', 'Put the command behind --, or name a spec with --file.');
  const user = flags.user ?? (isImage ? '' : DEFAULTS.user);
  const run = RunAction.fromPartial({ path: path ?? '', args, user, dir: flags.dir ?? '' });
  return Action.fromPartial({ action: { $case: 'runAction', value: run } });
}

/** The health check that a probe stands for; undefined for none. */
export function checkFrom(probe: HealthProbe): CheckDefinition | undefined {
  switch (probe.kind) {
    case 'none':
      return undefined;
    case 'tcp':
      return CheckDefinition.fromPartial({
        checks: [{ probe: { $case: 'tcpCheck', value: { port: probe.port } }, timeout: toDuration(1000) }],
      });
    case 'http':
      return CheckDefinition.fromPartial({
        checks: [
          { probe: { $case: 'httpCheck', value: { port: probe.port, path: probe.path } }, timeout: toDuration(1000) },
        ],
      });
  }
}
