import { existsSync } from 'node:fs';

/** A program that makes containers of OCI bundles. */
export interface RuntimeProgram {
  /** What it calls itself: `crun`, `runc`. */
  name: string;
  /** Absolute, as the supervisor wants it. */
  path: string;
}

/** One that was tried, as this machine has to use it. */
export interface Runtime extends RuntimeProgram {
  /** Mounts that it must not see while it makes a container; anything else it does with them in sight. */
  hidden: readonly string[];
}

/** Where a program is, named or by its path; where it would be when it isn't anywhere. */
export function findProgram(nameOrPath: string): string {
  if (nameOrPath.startsWith('/')) return nameOrPath;
  const candidates = (process.env.PATH ?? '')
    .split(':')
    .concat('/usr/sbin', '/usr/bin')
    .map((dir) => `${dir}/${nameOrPath}`);
  return candidates.find((path) => existsSync(path)) ?? `/usr/sbin/${nameOrPath}`;
}
