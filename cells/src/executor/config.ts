import { duration, size } from '@rivera/kit/config';
import { z } from 'zod';

const capacity = z.union([z.literal('auto'), z.number().int().positive()]);
const pool = (otherwise: number) => z.number().int().min(1).max(1024).default(otherwise);

/** Everything about the executor that an operator can set (spec §38). Durations in ms and sizes in bytes once read. */
export const executorConfig = z
  .object({
    memory_mb: capacity.default('auto').describe('Memory for containers in MiB; auto: what the machine has'),
    disk_mb: capacity.default('auto').describe('Disk for containers in MiB; auto: what the machine has'),
    auto_disk_capacity_overhead_mb: z
      .number()
      .int()
      .min(0)
      .default(0)
      .describe('Disk in MiB that auto leaves to others'),
    max_containers: z
      .union([z.literal('auto'), z.number().int().positive()])
      .default('auto')
      .describe('How many containers fit; auto: what the network of the cell allows'),
    allow_privileged: z.boolean().default(false).describe('Whether containers without a user namespace are accepted'),
    container_max_cpu_shares: z
      .number()
      .int()
      .positive()
      .default(1024)
      .describe('CPU shares of a container with weight 100'),
    set_cpu_weight: z
      .boolean()
      .default(false)
      .describe("Use a container's memory in MiB as its CPU shares, whatever its weight"),
    healthy_monitoring_interval: duration({ min: 1 })
      .default(30_000)
      .describe('Time between checks of a healthy container, unless its definition says so'),
    unhealthy_monitoring_interval: duration({ min: 1 })
      .default(2000)
      .describe('Longest time between checks of a container that is not healthy yet'),
    declarative_healthcheck_default_timeout: duration({ min: 1 })
      .default(1000)
      .describe('Time one check may take, unless its definition says so'),
    graceful_shutdown_interval: duration({ min: 1 })
      .default(10_000)
      .describe('Time a process has after TERM before it is killed'),
    reserved_expiration_time: duration({ min: 1 })
      .default(60_000)
      .describe('How long resources are set aside for a container that is not started'),
    container_reap_interval: duration({ min: 1 })
      .default(60_000)
      .describe('Time between comparisons with the containers that exist'),
    create_work_pool_size: pool(32).describe('Containers that are made at once'),
    delete_work_pool_size: pool(32).describe('Containers that are removed at once'),
    healthcheck_work_pool_size: pool(64).describe('Health checks at once'),
    max_concurrent_downloads: pool(5).describe('Downloads at once, and as many uploads'),
    max_cache_size: size({ min: 1 }).default(10_000_000_000).describe('Bytes of the download cache'),
    max_download_size: size({ min: 1 }).default(10_000_000_000).describe('Bytes of the largest download'),
    max_unpacked_size: size({ min: 1 }).default(40_000_000_000).describe('Bytes of the files in the largest archive'),
    transfer_timeout: duration({ min: 1 })
      .default(600_000)
      .describe('Time one attempt of a download or upload may take'),
    transfer_connect_timeout: duration({ min: 1 })
      .default(10_000)
      .describe('Time for connecting to a server, TLS included'),
    transfer_idle_timeout: duration({ min: 1 })
      .default(10_000)
      .describe('Time without a byte after which a transfer has failed'),
    max_log_lines_per_second: z
      .number()
      .int()
      .min(0)
      .default(0)
      .describe('Lines each container may log per second; 0: no limit'),
    post_setup_hook: z
      .array(z.string())
      .default([])
      .describe('Program and arguments that run in each container after its setup'),
    post_setup_user: z.string().default('').describe('User of the post-setup hook'),
  })
  .refine((config) => config.post_setup_hook.length === 0 || config.post_setup_user !== '', {
    message: 'post_setup_hook needs post_setup_user',
    path: ['post_setup_user'],
  });

export type ExecutorConfig = z.infer<typeof executorConfig>;

/** What `executorConfig` says when an operator says nothing. */
export function defaultExecutorConfig(changes: Partial<ExecutorConfig> = {}): ExecutorConfig {
  return { ...executorConfig.parse({}), ...changes };
}
