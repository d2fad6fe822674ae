import { join } from 'node:path';
import { type BindMount, type GardenContainer, GardenError } from '../../garden/garden.js';
import { VolumeError } from '../../volumes/driver.js';
import { redactUrls } from '../downloads/redact.js';
import type { RunRequest } from '../executor.js';
import type { ContainerLog } from '../logs/container-log.js';
import type { ContainerJournal } from '../store/record-store.js';
import type { CellContext } from './cell-context.js';
import { type CellMounts, cellMounts, credentialFiles } from './cell-mounts.js';
import { fetchDependencies, type HeldDependencies } from './dependencies.js';
import { gardenSpec, unsupported } from './garden-spec.js';
import { layOutMountedFiles, MountedFilesError } from './mounted-files.js';
import { volumeBinds, volumesOf } from './volume-mounts.js';

/** A container that could not be made. Its text is the failure reason. */
export class CreateError extends Error {
  override readonly name = 'CreateError';
  /** It may be made at another time or on another cell (spec cell §18); false when it lies in the definition itself. */
  readonly retryable: boolean;

  constructor(message: string, { retryable = true, ...options }: ErrorOptions & { retryable?: boolean } = {}) {
    super(message, options);
    this.retryable = retryable;
  }
}

/** A container that was told to stop while it was being made. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError';
}

/** What the making of one container needs. */
export interface CreateRequest {
  guid: string;
  request: RunRequest;
  log: ContainerLog;
  journal: ContainerJournal;
  /** Aborts when the container is told to stop. */
  signal: AbortSignal;
}

/**
 * Makes a container (spec cell §18): dependencies, files, then the garden's part. Nothing of the recipe has run when it fails.
 * @throws CreateError, StoppedError
 */
export async function createContainer(
  create: CreateRequest,
  cell: CellContext,
): Promise<{ container: GardenContainer; dependencies: HeldDependencies }> {
  const { guid, request, log, signal } = create;
  const { cellId } = cell;
  log.platform(`Cell ${cellId} creating container for instance ${guid}`);
  let dependencies: HeldDependencies | undefined;
  try {
    const missing = unsupported(request, cell.config, cell.garden);
    if (missing !== undefined) throw new CreateError(`failed to create container: ${missing}`);
    dependencies = await dependenciesOf(create, cell);
    const files = await mountedFiles(create, cell);
    if (signal.aborted) throw new StoppedError();
    const own = cellMounts(guid, request, cell);
    await credentialsDirectory(create, cell);
    const volumes = await volumeMounts(create, cell);
    const mounts = [...own.mounts, ...dependencies.mounts, ...(files ? [files] : []), ...volumes];
    const container = await makeContainer(create, { ...own, mounts }, cell);
    log.platform(`Cell ${cellId} successfully created container for instance ${guid}`);
    // Files have no memory of who wrote them, so a disk can be divided by folder or by user, and not by process.
    if (request.sidecars.some(({ diskMb }) => diskMb > 0)) {
      log.platform(
        `Cell ${cellId} enforces limits of sidecars for memory only: those of instance ${guid} share the disk of the container`,
        { stream: 'stderr' },
      );
    }
    return { container, dependencies };
  } catch (error) {
    dependencies?.release();
    await releaseVolumes(create, cell);
    if (error instanceof StoppedError) throw error;
    // The fetching of an image was cut.
    if (signal.aborted && error === signal.reason) throw new StoppedError();
    const text = error instanceof Error ? error.message : String(error);
    log.platform(`Cell ${cellId} failed to create container for instance ${guid}: ${text}`, { stream: 'stderr' });
    throw error instanceof CreateError
      ? error
      : new CreateError(`failed to create container: ${text}`, { cause: error, retryable: !isFinal(error) });
  }
}

/** The reference tries everything again, on other cells; what can't heal only costs its owner time. */
function isFinal(error: unknown): boolean {
  return error instanceof GardenError && error.final;
}

async function dependenciesOf(
  { guid, request, log, journal, signal }: CreateRequest,
  { downloader, lifetime, logger }: CellContext,
): Promise<HeldDependencies> {
  const wanted = request.container.cachedDependencies;
  if (wanted.length === 0) return { mounts: [], names: [], release: () => {} };
  let held: HeldDependencies;
  try {
    held = await lifetime.alive(fetchDependencies(wanted, { downloader, log, signal }));
  } catch (error) {
    if (signal.aborted) throw new StoppedError();
    const text = redactUrls(error instanceof Error ? error.message : String(error));
    logger.warn({ guid, reason: text }, 'a dependency could not be fetched');
    log.platform(text, { stream: 'stderr' });
    throw new CreateError('failed to download cached artifacts', { cause: error });
  }
  // Known before they are mounted, so that a later life of the agent doesn't remove what a container uses.
  await lifetime.alive(journal.append([{ kind: 'dependencies', names: held.names }]));
  return held;
}

async function mountedFiles(
  { guid, request }: CreateRequest,
  { filesDirectory, lifetime, logger }: CellContext,
): Promise<BindMount | undefined> {
  try {
    return await lifetime.alive(lifetime.track(layOutMountedFiles(join(filesDirectory, guid), request)));
  } catch (error) {
    if (error instanceof MountedFilesError)
      throw new CreateError(`failed to create volume mounted files: ${error.message}`, {
        cause: error,
        retryable: false,
      });
    logger.error({ err: error, guid }, 'volume-mounted files could not be written');
    throw new CreateError('failed to create volume mounted files', { cause: error });
  }
}

async function credentialsDirectory({ guid }: CreateRequest, cell: CellContext): Promise<void> {
  try {
    await cell.lifetime.alive(credentialFiles(guid, cell)?.prepare() ?? Promise.resolve());
  } catch (cause) {
    cell.logger.error({ err: cause, guid }, 'the directory of a certificate could not be made');
    throw new CreateError('failed to create credentials directory', { cause });
  }
}

/** All of them, or none; they are let go of when the container is removed, in whichever life of the agent. */
async function volumeMounts(
  { guid, request }: CreateRequest,
  { volumes, lifetime, logger }: CellContext,
): Promise<BindMount[]> {
  try {
    const wanted = volumesOf(request.container.volumeMounts);
    const uses = wanted.map(({ use }) => use);
    return volumeBinds(wanted, await lifetime.alive(lifetime.track(volumes.mount(guid, uses))));
  } catch (error) {
    if (error instanceof VolumeError)
      throw new CreateError(`failed to mount volume: ${error.message}`, { cause: error });
    // What else a driver says may not be for users.
    logger.error({ err: error, guid }, 'a volume could not be mounted');
    throw new CreateError('failed to mount volume', { cause: error });
  }
}

/** The container didn't come to be. What can't be let go of now is when it is removed. */
async function releaseVolumes({ guid }: CreateRequest, { volumes, lifetime, logger }: CellContext): Promise<void> {
  await lifetime.track(volumes.release(guid)).catch((error: unknown) => {
    logger.warn({ err: error, guid }, 'volumes of a container that was not made could not be unmounted');
  });
}

async function makeContainer(
  { guid, request, log, signal }: CreateRequest,
  mounts: CellMounts,
  { garden, config, lifetime }: CellContext,
): Promise<GardenContainer> {
  const { imageUsername: username, imagePassword: password } = request.container;
  const fetching = {
    ...(username !== '' && { credentials: { username, password } }),
    progress: (text: string) => log.platform(text),
    signal: AbortSignal.any([signal, lifetime.signal]),
  };
  return lifetime.alive(lifetime.track(garden.create(gardenSpec(guid, request, mounts, config), fetching)));
}
