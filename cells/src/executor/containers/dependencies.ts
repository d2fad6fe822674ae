import type { CachedDependency } from '@rivera/gen/rivera/recipe/v1/container';
import type { BindMount } from '../../garden/garden.js';
import { byteSize } from '../downloads/byte-size.js';
import type { Downloader, SharedDirectory } from '../downloads/downloader.js';
import type { ContainerLog } from '../logs/container-log.js';

/** Directories of the download cache that a container has mounted. */
export interface HeldDependencies {
  mounts: BindMount[];
  /** As the cache knows them in a later life. */
  names: string[];
  release(): void;
}

/** Fetches all at once; the first failure ends the others (spec cell §29). */
export async function fetchDependencies(
  dependencies: readonly CachedDependency[],
  { downloader, log, signal }: { downloader: Downloader; log: ContainerLog; signal: AbortSignal },
): Promise<HeldDependencies> {
  const others = new AbortController();
  const cut = AbortSignal.any([signal, others.signal]);
  const held: SharedDirectory[] = [];
  const fetches = dependencies.map(async (dependency) => {
    try {
      const directory = await fetchOne(dependency, { downloader, log, signal: cut });
      held.push(directory);
      return { source: directory.path, destination: dependency.to, readOnly: true };
    } catch (error) {
      others.abort(error);
      throw error;
    }
  });
  const release = (): void => {
    for (const directory of held) directory.release();
  };
  const settled = await Promise.allSettled(fetches);
  const failed = settled.some((result) => result.status === 'rejected');
  if (failed) {
    release();
    // The reason why the first one failed; the others were cut.
    throw others.signal.reason;
  }
  const mounts = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  return { mounts, names: held.map((directory) => directory.name), release };
}

async function fetchOne(
  { name, from, cacheKey, logSource, checksumAlgorithm, checksumValue }: CachedDependency,
  { downloader, log, signal }: { downloader: Downloader; log: ContainerLog; signal: AbortSignal },
): Promise<SharedDirectory> {
  const source = logSource || log.defaultSource;
  if (name !== '') log.platform(`Downloading ${name}...`, { source });
  try {
    const directory = await downloader.sharedDirectory(
      { url: from, cacheKey, checksumAlgorithm, checksumValue },
      signal,
    );
    if (name !== '')
      log.platform(`Downloaded ${name}${directory.fetchedBytes > 0 ? ` (${byteSize(directory.fetchedBytes)})` : ''}`, {
        source,
      });
    return directory;
  } catch (error) {
    if (name !== '') log.platform(`Downloading ${name} failed`, { source, stream: 'stderr' });
    throw error;
  }
}

/** Keeps what a container of an earlier life has mounted. */
export function holdDependencies(names: readonly string[], downloader: Downloader): () => void {
  const releases = names.map((name) => downloader.hold(name));
  return () => {
    for (const release of releases) release?.();
  };
}
