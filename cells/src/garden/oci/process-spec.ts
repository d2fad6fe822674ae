import { readFileSync } from 'node:fs';
import { capabilities } from './security.js';
import type { ContainerUser } from './users.js';

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
  terminal?: { columns: number; rows: number };
}

/** The agent's own hard limit of open files: more can't be given away without CAP_SYS_RESOURCE. */
const hardNofile = Number(
  /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 1024,
);

/** The OCI process specification. */
export function processSpec(request: ProcessRequest): object {
  const { user } = request;
  const nofile = Math.min(request.nofile, hardNofile);
  return {
    terminal: request.terminal !== undefined,
    ...(request.terminal ? { consoleSize: { height: request.terminal.rows, width: request.terminal.columns } } : {}),
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    args: [request.path, ...request.args],
    env: environment(request),
    cwd: request.cwd,
    noNewPrivileges: !request.privileged,
    capabilities: capabilities({ privileged: request.privileged, root: user.uid === 0 }),
    rlimits: [{ type: 'RLIMIT_NOFILE', hard: nofile, soft: nofile }],
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
