import type { Rlimit } from '../../garden.js';
import type { ContainerUser } from '../files/users.js';
import { capabilities } from '../security.js';
import { hardLimit, rlimitsOf } from './rlimits.js';

/** What a process of a container is to be. */
export interface ProcessRequest {
  path: string;
  args: string[];
  user: ContainerUser;
  cwd: string;
  /** Lowest precedence first. */
  env: Record<string, string>[];
  privileged: boolean;
  nofile: number;
  rlimits?: Partial<Record<Rlimit, number>> | undefined;
  terminal?: { columns: number; rows: number };
}

/** The OCI process specification. @throws GardenError `process-failed` for limits that can't be given */
export function processSpec(request: ProcessRequest): object {
  const { user } = request;
  const nofile = Math.min(request.nofile, hardLimit('nofile'));
  const rlimits = rlimitsOf(request.rlimits ?? {});
  return {
    terminal: request.terminal !== undefined,
    ...(request.terminal ? { consoleSize: { height: request.terminal.rows, width: request.terminal.columns } } : {}),
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    args: [request.path, ...request.args],
    env: environment(request),
    cwd: request.cwd,
    noNewPrivileges: !request.privileged,
    capabilities: capabilities({ privileged: request.privileged, root: user.uid === 0 }),
    rlimits: request.rlimits?.nofile === undefined ? [...rlimits, ...rlimitsOf({ nofile })] : rlimits,
  };
}

/** Later layers win; PATH, USER and HOME are filled in when nobody set them (spec cell §24, layer 7). */
function environment(request: ProcessRequest): string[] {
  const { user } = request;
  const merged: Record<string, string> = {
    PATH:
      user.uid === 0 ? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' : '/usr/local/bin:/usr/bin:/bin',
    USER: user.name,
    HOME: user.home,
  };
  for (const layer of request.env) Object.assign(merged, layer);
  return Object.entries(merged).map(([name, value]) => `${name}=${value}`);
}
