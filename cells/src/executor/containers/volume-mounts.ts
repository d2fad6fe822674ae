import { posix } from 'node:path';
import type { VolumeMount } from '@rivera/gen/rivera/recipe/v1/container';
import type { BindMount } from '../../garden/garden.js';
import { VolumeError } from '../../volumes/driver.js';
import type { VolumeUse } from '../../volumes/volumes.js';

/** What the cell itself puts into a container; nothing may be there, below it, or over it. */
const RESERVED = ['/proc', '/sys', '/dev', '/.rivera', '/etc/hosts', '/etc/resolv.conf', '/etc/cf-service-bindings'];
const MAX_MOUNTS = 64;
const MAX_PATH = 1024;

/**
 * What volumes a definition asks for, checked, those first that others lie in (spec cell §31).
 * @throws VolumeError that names the field and the rule
 */
export function volumesOf(
  mounts: readonly VolumeMount[],
): { use: VolumeUse; destination: string; readOnly: boolean }[] {
  if (mounts.length > MAX_MOUNTS) throw new VolumeError(`volume_mounts: ${mounts.length} are more than ${MAX_MOUNTS}`);
  const taken = new Map<string, number>();
  const wanted = mounts.map((mount, index) => {
    const field = `volume_mounts[${index}]`;
    const destination = destinationOf(mount.containerDir, `${field}.container_dir`);
    const other = taken.get(destination);
    if (other !== undefined)
      throw new VolumeError(`${field}.container_dir: is that of volume_mounts[${other}] as well`);
    taken.set(destination, index);
    if (mount.mode !== 'r' && mount.mode !== 'rw')
      throw new VolumeError(`${field}.mode: '${mount.mode}' is neither "r" nor "rw"`);
    return { use: useOf(mount, field), destination, readOnly: mount.mode === 'r' };
  });
  return wanted.sort((a, b) => a.destination.length - b.destination.length);
}

/** The mounts of volumes that are there. */
export function volumeBinds(wanted: ReturnType<typeof volumesOf>, paths: readonly string[]): BindMount[] {
  return wanted.map(({ destination, readOnly }, index) => ({ source: paths[index] ?? '', destination, readOnly }));
}

function useOf({ driver, device }: VolumeMount, field: string): VolumeUse {
  switch (device?.$case) {
    case 'shared': {
      const { volumeId: id, mountConfig } = device.value;
      return { driver, kind: 'shared', id, mountConfig, deviceConfig: '' };
    }
    case 'dedicated': {
      const { mounterId: id, mountConfig, deviceConfig } = device.value;
      return { driver, kind: 'dedicated', id, mountConfig, deviceConfig };
    }
    case undefined:
      throw new VolumeError(`${field}.device: is required`);
  }
}

function destinationOf(path: string, field: string): string {
  const refused = (rule: string) => new VolumeError(`${field}: '${path.slice(0, 100)}' ${rule}`);
  if (!path.startsWith('/')) throw refused('is not an absolute path');
  if (path.length > MAX_PATH) throw refused(`is longer than ${MAX_PATH} characters`);
  if (path.includes('\0') || path.split('/').some((part) => part === '.' || part === '..'))
    throw refused('must not contain ".", ".." or a zero byte');
  const clean = posix.normalize(path).replace(/(?<=.)\/$/, '');
  if (clean === '/') throw refused('is the root directory');
  const reserved = RESERVED.find((own) => clean === own || clean.startsWith(`${own}/`) || own.startsWith(`${clean}/`));
  if (reserved !== undefined) throw refused(`is in the way of ${reserved}, which is the cell's`);
  return clean;
}
