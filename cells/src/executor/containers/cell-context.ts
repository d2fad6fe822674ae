import { join } from 'node:path';
import type { Logger } from '@rivera/kit/log';
import type { InstanceIssuer } from '@rivera/kit/tls/instance-issuer';
import type { Garden } from '../../garden/garden.js';
import { Volumes } from '../../volumes/volumes.js';
import type { ExecutorConfig } from '../config.js';
import { type ExecutorCounters, newCounters } from '../counters.js';
import { Downloader } from '../downloads/downloader.js';
import { Uploader } from '../downloads/uploader.js';
import type { ContainerEvent, ContainerRecord } from '../executor.js';
import type { ContainerExecutorOptions } from '../executor-options.js';
import { NetworkProber } from '../health/network-prober.js';
import type { Prober } from '../health/prober.js';
import { simProber } from '../health/sim-prober.js';
import type { Lifetime } from '../lifetime.js';
import type { RetainingLogStore } from '../logs/memory-log-store.js';
import { InMemoryLogStore } from '../logs/memory-log-store.js';
import { Slots } from '../slots.js';

/** What all containers of an executor share. */
export interface CellContext {
  cellId: string;
  garden: Garden;
  config: ExecutorConfig;
  lifetime: Lifetime;
  downloader: Downloader;
  uploader: Uploader;
  prober: Prober;
  healthSlots: Slots;
  createSlots: Slots;
  deleteSlots: Slots;
  volumes: Volumes;
  logs: RetainingLogStore;
  /** Where files of containers are laid out. */
  filesDirectory: string;
  /** Where their certificates are kept. */
  credentialsDirectory: string;
  /** Undefined: containers have no certificates. */
  issuer: InstanceIssuer | undefined;
  counters: ExecutorCounters;
  logger: Logger;
  /** Tells subscribers. */
  emit(event: ContainerEvent): void;
  /** The container is gone; its resources are free again. */
  forget(record: ContainerRecord): void;
}

const DOWNLOAD_ATTEMPTS = 4;
const UPLOAD_ATTEMPTS = 3;
const RETRY_BASE_MS = 500;
const RETRY_MAX_MS = 5000;

/** Puts together what containers share. */
export function makeCellContext(
  options: ContainerExecutorOptions,
  hooks: Pick<CellContext, 'lifetime' | 'emit' | 'forget'>,
): CellContext {
  const { cellId, garden, config, dataDirectory, clock, logger } = options;
  const transfers = {
    connectTimeoutMs: config.transferConnectTimeout,
    idleTimeoutMs: config.transferIdleTimeout,
    totalTimeoutMs: config.transferTimeout,
    maxConcurrent: config.maxConcurrentDownloads,
    tls: options.transferTls,
  };
  const downloads = {
    ...transfers,
    directory: join(dataDirectory, 'downloads'),
    attempts: DOWNLOAD_ATTEMPTS,
    retryBaseMs: RETRY_BASE_MS,
    retryMaxMs: RETRY_MAX_MS,
    maxBytes: config.maxDownloadSize,
    maxCacheBytes: config.maxCacheSize,
    maxUnpackedBytes: config.maxUnpackedSize,
  };
  const uploads = { ...transfers, directory: join(dataDirectory, 'uploads'), attempts: UPLOAD_ATTEMPTS };
  return {
    ...hooks,
    cellId,
    garden,
    config,
    logger,
    logs: options.logs ?? new InMemoryLogStore({ cellId, clock }),
    prober: options.prober ?? (garden.backend === 'sim' ? simProber : new NetworkProber()),
    downloader: new Downloader(downloads, hooks.lifetime),
    uploader: new Uploader(uploads, hooks.lifetime),
    healthSlots: new Slots(config.healthcheckWorkPoolSize),
    createSlots: new Slots(config.createWorkPoolSize),
    deleteSlots: new Slots(config.deleteWorkPoolSize),
    volumes: new Volumes({ directory: join(dataDirectory, 'volumes'), drivers: options.volumeDrivers ?? [], logger }),
    filesDirectory: join(dataDirectory, 'files'),
    credentialsDirectory: join(dataDirectory, 'credentials'),
    issuer: options.issuer,
    counters: newCounters(),
  };
}
