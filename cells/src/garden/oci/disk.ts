import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './command.js';
import type { ContainerPlaces } from './places.js';
import type { RootLayers } from './root-layers.js';

/** Most files that a container with a disk limit can make (spec cell §35). */
const MAX_INODES = 200_000;
const INODE_BYTES = 256;

/** How a filesystem image is cut so that about `diskBytes` can be written into it. */
export function imageGeometry(diskBytes: number): { imageBytes: number; inodes: number } {
  const inodes = Math.min(MAX_INODES, Math.max(1024, Math.ceil(diskBytes / 8192)));
  // Inode tables, bitmaps and group descriptors come on top; the rest rounds up for small images.
  const overhead = inodes * INODE_BYTES + Math.ceil(diskBytes / 256) + 1024 * 1024;
  const imageBytes = Math.ceil((diskBytes + overhead) / 4096) * 4096;
  return { imageBytes, inodes };
}

/**
 * Mounts a container's root filesystem: an overlay over the layers it is made of. With a limit, what is written lies in a sparse
 * ext4 image of its own, as project quotas are not to be had on every host. One shell does all steps to save process starts.
 */
export async function mountRootFs(o: { places: ContainerPlaces; root: RootLayers; diskBytes: number }): Promise<void> {
  const { places, root } = o;
  // Named from where they are: the kernel takes a page of options, which full paths of many layers would not fit into.
  const cwd = root.directory;
  await Promise.all([mkdir(places.disk), mkdir(places.rootFs)]);
  const upper = join(places.disk, 'upper');
  const work = join(places.disk, 'work');
  const overlay = `lowerdir=${root.layers.join(':')},upperdir=${upper},workdir=${work}`;
  const mountOverlay = 'mkdir -p "$2" "$3" && mount -t overlay -o "$4" rivera "$5"';
  if (o.diskBytes === 0) {
    await run('sh', ['-ec', mountOverlay, 'mount', '', upper, work, overlay, places.rootFs], { cwd });
    return;
  }
  const { imageBytes, inodes } = imageGeometry(o.diskBytes);
  await writeFile(places.image, '', { mode: 0o600 });
  await truncate(places.image, imageBytes);
  // No journal: after a crash of the host the container is gone anyway. No reserved blocks: they would be root's alone.
  const format = `mkfs.ext4 -q -F -m 0 -b 4096 -I ${INODE_BYTES} -N "$7" -O ^has_journal,^resize_inode -E lazy_itable_init=1,nodiscard "$1"`;
  const script = `${format} && mount -o loop,noatime,nodev "$1" "$6" && ${mountOverlay}`;
  const args = [places.image, upper, work, overlay, places.rootFs, places.disk, String(inodes)];
  await run('sh', ['-ec', script, 'mount', ...args], { cwd });
}
