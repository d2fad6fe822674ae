import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import type { InstanceIssuer } from '@rivera/kit/tls/instance-issuer';
import type { Garden } from '../garden/garden.js';
import type { VolumeDriver } from '../volumes/driver.js';
import type { ExecutorConfig } from './config.js';
import type { TransferTls } from './downloads/http-transfer.js';
import type { Prober } from './health/prober.js';
import type { RetainingLogStore } from './logs/memory-log-store.js';
import type { RecordStore } from './store/record-store.js';

/** What an executor is made of. */
export interface ContainerExecutorOptions {
  cellId: string;
  /** Started already; it is not closed by the executor. */
  garden: Garden;
  config: ExecutorConfig;
  /** Holds records, mounted files and the download cache; readable by its owner alone. */
  dataDirectory: string;
  clock: Clock;
  /** For deadlines; one that doesn't leap. Default: `clock`. */
  steady?: Clock;
  logger: Logger;
  /** Default: files in the data directory. */
  store?: RecordStore;
  /** Default: in memory. */
  logs?: RetainingLogStore;
  /** Who has volumes for containers. Default: nobody. */
  volumeDrivers?: readonly VolumeDriver[];
  /** Default: over the network. */
  prober?: Prober;
  /** Of downloads and uploads. Default: the authorities that everybody trusts, and no certificate. */
  transferTls?: TransferTls | undefined;
  /** Signs containers' certificates. Default: they have none. */
  issuer?: InstanceIssuer | undefined;
}
