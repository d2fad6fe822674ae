import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { usageError } from '../failures.js';
import { toDuration } from '../terminal/time.js';
import { messageFrom } from './document.js';
import { parseProbe } from './quantities.js';
import type { TaskDocument } from './task-spec.js';
import { actionFrom, checkFrom, containerFrom, DEFAULTS, type WorkFlags } from './work.js';

/** What `lrp run` is told. */
export interface LrpFlags extends WorkFlags {
  domain?: string;
  instances?: number;
  port?: readonly number[];
  /** As the user wrote it; see parseProbe. */
  check?: string;
  startTimeout?: number;
  ssh?: boolean;
  annotation?: string;
}

/** Time to become healthy, unless said otherwise. */
const START_TIMEOUT_MS = 60_000;

/** Lets SSH in; nothing has to listen at the port, which the reference's tools want to see. */
export const SSH_ROUTE: Readonly<Record<string, string>> = { 'diego-ssh': '{"container_port":2222}' };

/** An LRP: spec file, flags on top, defaults below. With a port and no word about health, the first port must accept. */
export function lrpFrom(
  name: string | undefined,
  flags: LrpFlags,
  command: readonly string[],
  file: TaskDocument | undefined,
  env: NodeJS.ProcessEnv,
): DesiredLrp {
  const base = file === undefined ? undefined : messageFrom(DesiredLrp, file.document, file.source);
  const processGuid = name ?? base?.processGuid ?? '';
  if (processGuid === '') throw usageError('the LRP has no name', 'rivera lrp run NAME …, or processGuid in the spec.');
  const ports = [...(flags.port ?? base?.ports ?? [])];
  const identity = { logGuid: processGuid, logSource: DEFAULTS.lrpSource };
  const container = containerFrom(base?.container, flags, identity, env);
  const lrp = DesiredLrp.fromPartial({
    ...(base ?? {}),
    processGuid,
    domain: flags.domain ?? (base?.domain || DEFAULTS.domain),
    instances: flags.instances ?? (base !== undefined && saysInstances(file?.document) ? base.instances : 1),
    container,
    action: actionFrom(base?.action, command, flags, container.rootFs),
    ports,
    ...(flags.ssh ? { routes: { ...base?.routes, ...SSH_ROUTE } } : {}),
    annotation: flags.annotation ?? base?.annotation ?? '',
    startTimeout:
      flags.startTimeout === undefined
        ? (base?.startTimeout ?? toDuration(START_TIMEOUT_MS))
        : toDuration(flags.startTimeout),
  });
  const probe = flags.check ?? (base === undefined ? (ports.length > 0 ? 'tcp' : 'none') : undefined);
  if (probe !== undefined) lrp.checkDefinition = checkFrom(parseProbe(probe, ports));
  return lrp;
}

/** In protobuf a number that is left out is 0; people who leave it out want one instance. */
function saysInstances(document: unknown): boolean {
  return typeof document === 'object' && document !== null && 'instances' in document;
}
