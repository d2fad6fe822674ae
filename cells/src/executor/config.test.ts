import { loadConfig } from '@rivera/kit/config';
import { expect, it } from 'vitest';
import { defaultExecutorConfig, executorConfig } from './config.js';

it('has the defaults of the reference', () => {
  expect(defaultExecutorConfig()).toMatchObject({
    memoryMb: 'auto',
    healthyMonitoringInterval: 30_000,
    unhealthyMonitoringInterval: 2000,
    gracefulShutdownInterval: 10_000,
    reservedExpirationTime: 60_000,
    containerReapInterval: 60_000,
    createWorkPoolSize: 32,
    healthcheckWorkPoolSize: 64,
    maxConcurrentDownloads: 5,
    maxCacheSize: 10_000_000_000,
    containerMaxCpuShares: 1024,
    maxLogLinesPerSecond: 0,
  });
});

it('explains every key', () => {
  expect(Object.entries(executorConfig.shape).filter(([, schema]) => !schema.description)).toEqual([]);
});

it('is read with units, and refuses what makes no sense', () => {
  const load = (overrides: object) => loadConfig({ schema: executorConfig, env: {}, overrides });
  expect(load({ gracefulShutdownInterval: '1m', maxCacheSize: '1GiB', memoryMb: 512 })).toMatchObject({
    gracefulShutdownInterval: 60_000,
    maxCacheSize: 2 ** 30,
    memoryMb: 512,
  });
  expect(() => load({ healthyMonitoringInterval: 0 })).toThrow('healthyMonitoringInterval');
  expect(() => load({ containerMaxCpuShares: 0 })).toThrow('containerMaxCpuShares');
  expect(() => load({ postSetupHook: ['/bin/hook'] })).toThrow('postSetupUser');
});
