import { duration, size } from '@rivera/kit/config';
import { z } from 'zod';

const capacity = z.union([z.literal('auto'), z.number().int().positive()]);
const pool = (otherwise: number) => z.number().int().min(1).max(1024).default(otherwise);

/** Everything about the executor that an operator can set (spec cell §38). Durations in ms and sizes in bytes once read. */
export const executorConfig = z
  .object({
    memoryMb: capacity.default('auto').describe('Memory for containers in MiB; auto: what the machine has'),
    diskMb: capacity.default('auto').describe('Disk for containers in MiB; auto: what the machine has'),
    autoDiskCapacityOverheadMb: z.number().int().min(0).default(0).describe('Disk in MiB that auto leaves to others'),
    maxContainers: z
      .union([z.literal('auto'), z.number().int().positive()])
      .default('auto')
      .describe('How many containers fit; auto: what the network of the cell allows'),
    allowPrivileged: z.boolean().default(false).describe('Whether containers without a user namespace are accepted'),
    containerMaxCpuShares: z
      .number()
      .int()
      .positive()
      .default(1024)
      .describe('CPU shares of a container with weight 100'),
    setCpuWeight: z
      .boolean()
      .default(false)
      .describe("Use a container's memory in MiB as its CPU shares, whatever its weight"),
    cpuEntitlementPerShare: z
      .number()
      .min(0)
      .default(0)
      .describe('CPU in percent of a core that one share entitles to, for metrics; 0: 100 × cores ÷ memory in MiB'),
    cpuQuotaPerShare: z
      .number()
      .min(0)
      .max(1000)
      .default(0)
      .describe('Thousandths of a core that each CPU share of a container allows at most; 0: no limit'),
    healthyMonitoringInterval: duration({ min: 1 })
      .default(30_000)
      .describe('Time between checks of a healthy container, unless its definition says so'),
    unhealthyMonitoringInterval: duration({ min: 1 })
      .default(2000)
      .describe('Longest time between checks of a container that is not healthy yet'),
    declarativeHealthcheckDefaultTimeout: duration({ min: 1 })
      .default(1000)
      .describe('Time one check may take, unless its definition says so'),
    gracefulShutdownInterval: duration({ min: 1 })
      .default(10_000)
      .describe('Time a process has after TERM before it is killed'),
    reservedExpirationTime: duration({ min: 1 })
      .default(60_000)
      .describe('How long resources are set aside for a container that is not started'),
    containerReapInterval: duration({ min: 1 })
      .default(60_000)
      .describe('Time between comparisons with the containers that exist'),
    createWorkPoolSize: pool(32).describe('Containers that are made at once'),
    deleteWorkPoolSize: pool(32).describe('Containers that are removed at once'),
    healthcheckWorkPoolSize: pool(64).describe('Health checks at once'),
    maxConcurrentDownloads: pool(5).describe('Downloads at once, and as many uploads'),
    maxCacheSize: size({ min: 1 }).default(10_000_000_000).describe('Bytes of the download cache'),
    maxDownloadSize: size({ min: 1 }).default(10_000_000_000).describe('Bytes of the largest download'),
    maxUnpackedSize: size({ min: 1 }).default(40_000_000_000).describe('Bytes of the files in the largest archive'),
    transferTimeout: duration({ min: 1 })
      .default(600_000)
      .describe('Time one attempt of a download or upload may take'),
    transferConnectTimeout: duration({ min: 1 })
      .default(10_000)
      .describe('Time for connecting to a server, TLS included'),
    transferTls: z
      .object({
        ca: z
          .string()
          .default('')
          .describe('Authorities that are trusted besides those that everybody trusts, PEM file'),
        cert: z.string().default('').describe('Certificate that servers which ask for one are shown, PEM file'),
        key: z.string().default('').describe('Its key, PEM file'),
      })
      .prefault({})
      .refine(({ cert, key }) => (cert === '') === (key === ''), { message: 'cert and key go together', path: ['key'] })
      .describe('TLS of downloads and uploads'),
    transferIdleTimeout: duration({ min: 1 })
      .default(10_000)
      .describe('Time without a byte after which a transfer has failed'),
    maxLogLinesPerSecond: z
      .number()
      .int()
      .min(0)
      .default(0)
      .describe('Lines each container may log per second; 0: no limit'),
    trustedCertificatesDir: z
      .string()
      .default('')
      .describe(
        'Folder of certificates that containers may trust; mounted where a definition asks for it; empty: none',
      ),
    instanceIdentity: z
      .object({
        ca: z.string().default('').describe("Authority of containers' certificates, PEM file; empty: they get none"),
        key: z.string().default('').describe('Its key, PEM file: of the curves P-256 or P-384, or of RSA'),
        validity: duration({ min: '1m', max: '8760h' })
          .default(86_400_000)
          .describe('How long a certificate is good for; it is replaced before'),
      })
      .prefault({})
      .refine(({ ca, key }) => (ca === '') === (key === ''), { message: 'ca and key go together', path: ['key'] })
      .describe('Certificates by which containers show who they are'),
    postSetupHook: z
      .array(z.string())
      .default([])
      .describe('Program and arguments that run in each container after its setup'),
    postSetupUser: z.string().default('').describe('User of the post-setup hook'),
  })
  .refine((config) => config.postSetupHook.length === 0 || config.postSetupUser !== '', {
    message: 'postSetupHook needs postSetupUser',
    path: ['postSetupUser'],
  });

export type ExecutorConfig = z.infer<typeof executorConfig>;

/** What `executorConfig` says when an operator says nothing. */
export function defaultExecutorConfig(changes: Partial<ExecutorConfig> = {}): ExecutorConfig {
  return { ...executorConfig.parse({}), ...changes };
}
