import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { doKernelSteps, type IdMapping, type KernelStep } from '../../../kernel/kernel-steps.js';
import type { GardenLimits, GardenSpec } from '../../garden.js';
import type { ContainerPlaces } from '../places.js';
import type { RootLayers } from '../root-layers.js';
import { type DiskTemplates, type ImageGeometry, INODE_BYTES } from './templates.js';

/** Most files that a container with a disk limit can make, unless its limits say so (spec cell §35). */
const MAX_INODES = 200_000;

/** How a filesystem image is cut so that about `diskBytes` can be written into it. */
export function imageGeometry({
  diskBytes,
  inodes: wanted = 0,
}: Pick<GardenLimits, 'diskBytes' | 'inodes'>): ImageGeometry {
  const inodes = wanted > 0 ? wanted : Math.min(MAX_INODES, Math.max(1024, Math.ceil(diskBytes / 8192)));
  // Inode tables, bitmaps and group descriptors come on top; the rest rounds up for small images.
  const overhead = inodes * INODE_BYTES + Math.ceil(diskBytes / 256) + 1024 * 1024;
  const imageBytes = Math.ceil((diskBytes + overhead) / 4096) * 4096;
  return { imageBytes, inodes };
}

/**
 * Makes everything of a container that is mounted: its root filesystem, an overlay over the layers it is made of, and what of the
 * host it is to see. With ids of its own, its network namespace has to be there: that holds the user namespace. With a limit, what is written lies in a sparse
 * ext4 image of its own, as project quotas are not to be had on every host. One process does all steps to save process starts.
 */
export async function mountAll(o: {
  places: ContainerPlaces;
  root: RootLayers;
  spec: GardenSpec;
  ids: IdMapping | undefined;
  templates: DiskTemplates;
}): Promise<void> {
  const { places, spec, templates } = o;
  await Promise.all([mkdir(places.disk), mkdir(places.stage, { recursive: true, mode: 0o711 })]);
  const doAll = (disk: KernelStep[]) =>
    doKernelSteps([...namespaceSteps(o), ...disk, ...overlaySteps(o), ...mountSteps(o)]);
  if (spec.limits.diskBytes === 0) return doAll([]);
  await templates.use(imageGeometry(spec.limits), (template) => doAll(diskSteps(places, template)));
}

function namespaceSteps({ places, ids }: { places: ContainerPlaces; ids: IdMapping | undefined }): KernelStep[] {
  // The runtime reaches the root filesystem as root of the container, and nobody else of the machine is to.
  const own: KernelStep = { do: 'directory', path: places.stage, mode: 0o700, owner: ids?.hostId ?? 0 };
  if (!ids) return [own];
  return [own, { do: 'adopt', netFile: places.netns, userFile: places.userNamespace }];
}

function diskSteps(places: ContainerPlaces, template: string): KernelStep[] {
  return [
    { do: 'copy', from: template, to: places.image },
    { do: 'loop', image: places.image, to: places.disk },
  ];
}

function overlaySteps(o: {
  places: ContainerPlaces;
  root: RootLayers;
  spec: GardenSpec;
  ids: IdMapping | undefined;
}): KernelStep[] {
  const { places, root, ids } = o;
  const owner = ids?.hostId ?? 0;
  const upper = join(places.disk, 'upper');
  const work = join(places.disk, 'work');
  const layers = ids
    ? root.layers.map((layer) => ({ from: join(root.directory, layer), to: join(places.layers, layer) }))
    : [];
  return [
    { do: 'directory', path: upper, mode: 0o755, owner },
    { do: 'directory', path: work, mode: 0o700, owner: 0 },
    { do: 'directory', path: places.rootFs, mode: 0o700, owner },
    // Their owners are the container's ids and not the host's, without a byte being copied.
    ...layers.map((layer): KernelStep => ({ do: 'idmapped', ...layer, deep: false })),
    // Named from where they are: the kernel takes a page of options, which full paths of many layers would not fit into. And
    // named the same in either case: the names say which layers are in use.
    { do: 'enter', path: ids ? places.layers : root.directory },
    { do: 'overlay', lower: root.layers, upper, work, to: places.rootFs, devices: o.spec.privileged },
    // The overlay holds what it is made of.
    ...(ids ? [{ do: 'detach', paths: layers.map((layer) => layer.to) } as const] : []),
  ];
}

/** What of the host is shown keeps its owners: id n of the container is id n in the files. */
function mountSteps({
  places,
  spec,
  ids,
}: {
  places: ContainerPlaces;
  spec: GardenSpec;
  ids: IdMapping | undefined;
}): KernelStep[] {
  if (!ids) return [];
  return spec.mounts.map(({ source, readOnly }, index) => ({
    do: 'idmapped',
    from: source,
    to: places.staged(index),
    deep: true,
    // Not every runtime heeds these where it gets a mount from outside a user namespace.
    not: readOnly ? ['write', 'suid', 'devices'] : ['suid', 'devices'],
  }));
}
