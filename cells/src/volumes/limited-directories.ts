import { chmod, chown, mkdir, open, readdir, rename, rm, rmdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { failpoint } from '@rivera/kit/failpoint';
import { imageGeometry } from '../garden/oci/disk/disk.js';
import { run } from '../kernel/command.js';
import { isMissing } from '../kernel/durable.js';
import { mountsBelow } from '../kernel/mounts.js';
import { syncDirectory } from '../kernel/sync-directory.js';

/** Unlike a container's disk, a volume outlives a crash of the machine. The least that a filesystem takes, and at most half of it. */
const JOURNAL_MIB = 4;
const BYTES_PER_INODE = 16_384;
/** What is begun and not whole has a name that no volume can have. */
const UNFINISHED = '.';

/** Who a directory belongs to when it is made, and what they may do. */
export interface Ownership {
  uid: number;
  gid: number;
  mode: number;
}

/**
 * Directories that hold so much and not more: each is an ext4 image of its own, sparse, mounted while somebody uses it. The image's name says
 * its size, so that both come to be at once.
 */
export class LimitedDirectories {
  constructor(
    /** Of images, `ID@BYTES` each. */
    private readonly images: string,
    /** Of mount points, `ID` each. */
    private readonly mounts: string,
  ) {}

  /** Takes away what was begun and never came to be. */
  async start(): Promise<void> {
    for (const directory of [this.images, this.mounts]) await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const name of (await readdir(this.images)).filter((each) => each.startsWith(UNFINISHED)))
      await rm(join(this.images, name));
  }

  /** How many bytes a directory can hold; undefined when there is none. */
  async sizeOf(id: string): Promise<number | undefined> {
    const name = (await readdir(this.images)).find((each) => each.startsWith(`${id}@`));
    return name === undefined ? undefined : Number(name.slice(id.length + 1));
  }

  /** Makes one, empty. It belongs to nobody until it is opened for the first time. */
  async make(id: string, bytes: number): Promise<void> {
    const inodes = Math.max(1024, Math.ceil(bytes / BYTES_PER_INODE));
    const { imageBytes } = imageGeometry({ diskBytes: bytes, inodes });
    const unfinished = join(this.images, `${UNFINISHED}${id}`);
    await (await open(unfinished, 'w', 0o600)).close();
    await truncate(unfinished, imageBytes + JOURNAL_MIB * 1024 * 1024);
    // No reserved blocks: they would be root's alone.
    const layout = ['-m', '0', '-b', '4096', '-N', String(inodes), '-J', `size=${JOURNAL_MIB}`, '-O', '^resize_inode'];
    await run('mkfs.ext4', ['-q', '-F', ...layout, '-E', 'lazy_itable_init=1,nodiscard', unfinished]);
    failpoint('cell.volume-formatted');
    const image = await open(unfinished, 'r');
    await image.sync().finally(() => image.close());
    await rename(unfinished, join(this.images, `${id}@${bytes}`));
    await syncDirectory(this.images);
    failpoint('cell.volume-made');
  }

  /** Mounts one that there is, unless it is; resolves with the directory. */
  async open(id: string, ownership: Ownership): Promise<string> {
    const point = join(this.mounts, id);
    const bytes = await this.sizeOf(id);
    if (!(await isMounted(point))) {
      await mkdir(point, { recursive: true, mode: 0o700 });
      // The same image twice would be two filesystems that don't know of each other; this is why it is looked first.
      await run('mount', ['-o', 'loop,noatime,nodev,nosuid', join(this.images, `${id}@${bytes}`), point]);
    }
    failpoint('cell.volume-mounted');
    // Below the root of the filesystem, which holds what is its own.
    const directory = join(point, 'data');
    if (await stat(directory).then(() => false, missing)) await makeOwned(directory, ownership);
    return directory;
  }

  /** Unmounts one, unless it isn't mounted. */
  async close(id: string): Promise<void> {
    const point = join(this.mounts, id);
    if (await isMounted(point)) await run('umount', [point]);
    await rmdir(point).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
    });
  }
}

/** Makes a directory that is there only once it belongs to whom it is to belong. */
export async function makeOwned(path: string, { uid, gid, mode }: Ownership): Promise<void> {
  const unfinished = join(path, '..', `${UNFINISHED}${path.slice(path.lastIndexOf('/') + 1)}`);
  await mkdir(unfinished, { recursive: true, mode: 0o700 });
  await chown(unfinished, uid, gid);
  await chmod(unfinished, mode);
  failpoint('cell.volume-owned');
  await rename(unfinished, path);
  await syncDirectory(join(path, '..'));
}

async function isMounted(point: string): Promise<boolean> {
  return (await mountsBelow(point)).includes(point);
}

function missing(error: unknown): boolean {
  if (isMissing(error)) return true;
  throw error;
}
