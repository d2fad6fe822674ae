import { Action } from '@rivera/gen/rivera/recipe/v1/action';
import type { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';

export const LAYERED_SCHEME = 'preloaded+layer';

/** A root filesystem of this cell with an archive on top of it (spec cell §45). */
export interface LayeredRootFs {
  /** What lies below, as `preloaded:NAME`. */
  base: string;
  /** Puts the archive into the container. */
  download: Action;
}

/**
 * Reads `preloaded+layer:NAME?layer=URL&layer_path=DIRECTORY&layer_digest=SHA256`. The layer belongs to the
 * user that downloads of the definition belong to, else to root. Undefined when it is another root filesystem.
 * @throws Error that says what is wrong with it, fit for users
 */
export function layeredRootFs({
  rootFs,
  legacyDownloadUser,
}: Pick<ContainerSpec, 'rootFs' | 'legacyDownloadUser'>): LayeredRootFs | undefined {
  if (!rootFs.startsWith(`${LAYERED_SCHEME}:`)) return undefined;
  const [name = '', query = ''] = rootFs.slice(LAYERED_SCHEME.length + 1).split(/\?(.*)/s);
  const parameters = new URLSearchParams(query);
  const [from, to, digest] = ['layer', 'layer_path', 'layer_digest'].map((key) => parameters.get(key) ?? '');
  if (name === '' || !from || !to?.startsWith('/') || !/^[0-9a-f]{64}$/.test(digest ?? '')) {
    throw new Error(
      `a root filesystem of scheme '${LAYERED_SCHEME}' needs a name, layer, an absolute layer_path and layer_digest (SHA-256)`,
    );
  }
  const value = {
    artifact: '',
    from,
    to,
    cacheKey: `sha256:${digest}`,
    user: legacyDownloadUser || 'root',
    checksumAlgorithm: 'sha256',
    checksumValue: digest ?? '',
  };
  return { base: `preloaded:${name}`, download: Action.fromPartial({ action: { $case: 'downloadAction', value } }) };
}
