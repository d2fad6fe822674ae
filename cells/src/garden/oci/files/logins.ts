import { GardenError } from '../../garden.js';
import { BUSYBOX } from '../bundle.js';
import type { ContainerFiles } from './inside.js';
import { assertMapped, type ContainerUser, findUser } from './users.js';

/** Bytes of the user database that are looked at. */
const DATABASE_LIMIT = 1024 * 1024;

/** Who somebody is in a container, by its own files: user, directory to begin in, shell. */
export class Logins {
  /** @param ids how many ids the container has; undefined: all */
  constructor(
    private readonly files: ContainerFiles,
    private readonly ids: number | undefined,
  ) {}

  /** @throws GardenError `process-failed` when there is no such user */
  async user(user: string): Promise<ContainerUser> {
    const [passwd, group] = await Promise.all(
      ['/etc/passwd', '/etc/group'].map((path) => this.files.readText(path, DATABASE_LIMIT)),
    );
    const found = findUser({ user, passwd, group });
    if (this.ids !== undefined) assertMapped(found, this.ids);
    return found;
  }

  /**
   * Where the user begins: in `dir`, which is made where it is missing, or at home, or in `/` where there is no home.
   * @throws GardenError `process-failed` when `dir` can't be made
   */
  async workingDirectory(dir: string, user: ContainerUser): Promise<string> {
    const wanted = absolute(dir === '' ? user.home : dir);
    try {
      await this.files.ensureDirectory(wanted, user);
      return wanted;
    } catch (cause) {
      if (dir === '') return '/';
      throw new GardenError('process-failed', `directory ${wanted} can't be made`, { cause });
    }
  }

  /** What the user talks to: a shell of the image, or the cell's own. */
  async shell(user: ContainerUser): Promise<[path: string, args: string[]]> {
    for (const path of [user.shell, '/bin/bash', '/bin/sh']) {
      if (path !== '' && (await this.files.kind(path)) === 'file') return [path, []];
    }
    return [BUSYBOX, ['sh']];
  }
}

export function absolute(path: string): string {
  return path.startsWith('/') ? path : `/${path}`;
}
