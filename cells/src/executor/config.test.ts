import { loadConfig } from '@rivera/kit/config';
import { expect, it } from 'vitest';
import { defaultExecutorConfig, executorConfig } from './config.js';

it('has the defaults of the reference', () => {
  expect(defaultExecutorConfig()).toMatchObject({
    memory_mb: 'auto',
    healthy_monitoring_interval: 30_000,
    unhealthy_monitoring_interval: 2000,
    graceful_shutdown_interval: 10_000,
    reserved_expiration_time: 60_000,
    container_reap_interval: 60_000,
    create_work_pool_size: 32,
    healthcheck_work_pool_size: 64,
    max_concurrent_downloads: 5,
    max_cache_size: 10_000_000_000,
    container_max_cpu_shares: 1024,
    max_log_lines_per_second: 0,
  });
});

it('explains every key', () => {
  expect(Object.entries(executorConfig.shape).filter(([, schema]) => !schema.description)).toEqual([]);
});

it('is read with units, and refuses what makes no sense', () => {
  const load = (overrides: object) => loadConfig({ schema: executorConfig, env: {}, overrides });
  expect(load({ graceful_shutdown_interval: '1m', max_cache_size: '1GiB', memory_mb: 512 })).toMatchObject({
    graceful_shutdown_interval: 60_000,
    max_cache_size: 2 ** 30,
    memory_mb: 512,
  });
  expect(() => load({ healthy_monitoring_interval: 0 })).toThrow('healthy_monitoring_interval');
  expect(() => load({ container_max_cpu_shares: 0 })).toThrow('container_max_cpu_shares');
  expect(() => load({ post_setup_hook: ['/bin/hook'] })).toThrow('post_setup_user');
});
