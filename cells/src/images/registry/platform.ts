import { ImageError } from '../image-error.js';
import type { Descriptor, Platform } from './manifest.js';

/** Node's names of architectures, where images have others. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', mipsel: 'mipsle' };

/** What containers on this machine can run. */
export function machinePlatform(arch: string = process.arch): Platform {
  const architecture = ARCHITECTURES[arch] ?? arch;
  return {
    os: 'linux',
    architecture,
    ...(arch === 'arm64' && { variant: 'v8' }),
    ...(arch === 'arm' && { variant: 'v7' }),
  };
}

/**
 * The entry of an index that is for a machine. Of several the one of the same variant goes first, then one without any.
 * @throws ImageError `no-platform`
 */
export function forPlatform(
  manifests: readonly (Descriptor & { platform?: Platform | undefined })[],
  { machine, name }: { machine: Platform; name: string },
): Descriptor {
  const fitting = manifests.filter(({ platform }) => platform !== undefined && isFor(platform, machine));
  const best =
    fitting.find(({ platform }) => platform?.variant === machine.variant) ??
    fitting.find(({ platform }) => platform?.variant === undefined) ??
    fitting[0];
  if (best) return best;
  const others = manifests.flatMap(({ platform }) => (platform && platform.os !== 'unknown' ? [shown(platform)] : []));
  throw noPlatform(name, machine, others);
}

export function isFor(platform: Platform, machine: Platform): boolean {
  return platform.os === machine.os && platform.architecture === machine.architecture;
}

export function noPlatform(name: string, machine: Platform, others: readonly string[]): ImageError {
  const there = others.length === 0 ? '' : `, only for ${[...new Set(others)].slice(0, 10).join(', ')}`;
  return new ImageError(
    'no-platform',
    `image ${name}: there is none for ${machine.os}/${machine.architecture}${there}`,
  );
}

export function shown({ os, architecture, variant }: Platform): string {
  return `${os}/${architecture}${variant === undefined ? '' : `/${variant}`}`;
}
