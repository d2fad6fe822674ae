import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ImageError } from '../../images/image-error.js';
import type { ImageDefaults } from '../../images/registry/image-config.js';
import { GardenError, type GardenSpec, type ImageFetching } from '../garden.js';
import type { Cell } from './cell.js';

/** What an overlay is laid over. */
export interface RootLayers {
  /** Where the paths of the layers begin. */
  directory: string;
  /** Topmost first. */
  layers: string[];
  /** What processes get that say nothing of it. Empty: nothing. */
  defaults: ImageDefaults;
  /** They may go from now on, unless they are mounted. */
  release(): void;
}

const PRELOADED = 'preloaded:';
const NO_DEFAULTS = { env: {}, user: '', dir: '', entrypoint: [], cmd: [], ports: [] };

/**
 * Finds a root filesystem on this cell, or fetches it.
 * @throws GardenError `unknown-rootfs`, `image-failed`, `unsupported`; the signal's reason when it was aborted
 */
export async function rootLayers(
  cell: Cell,
  { rootFs }: GardenSpec,
  fetching: ImageFetching & { signal: AbortSignal },
): Promise<RootLayers> {
  if (rootFs.startsWith(PRELOADED)) return preloaded(cell, rootFs.slice(PRELOADED.length));
  if (!rootFs.startsWith('docker:'))
    throw new GardenError('unsupported', `root filesystem '${rootFs}' is neither preloaded:NAME nor docker://IMAGE`);
  try {
    const { root, ...image } = await cell.images.pull(rootFs, fetching);
    return { ...image, directory: root };
  } catch (error) {
    if (error instanceof ImageError)
      throw new GardenError('image-failed', error.message, { cause: error, final: error.final });
    throw error;
  }
}

async function preloaded({ settings }: Cell, name: string): Promise<RootLayers> {
  const known =
    /^[A-Za-z0-9_.-]+$/.test(name) &&
    !name.startsWith('.') &&
    (await stat(join(settings.rootFsDir, name)).catch(() => undefined))?.isDirectory();
  if (!known) throw new GardenError('unknown-rootfs', `there is no root filesystem '${name}' on this cell`);
  return { directory: settings.rootFsDir, layers: [name], defaults: NO_DEFAULTS, release: () => {} };
}
