import { systemClock } from '@rivera/kit/clock';
import { configTable, loadConfig } from '@rivera/kit/config';
import { silentLogger } from '@rivera/kit/log';
import { describe, expect, it } from 'vitest';
import { cellConfig } from './config.js';
import { ociOptionsOf } from './parts.js';

const least = {
  cellId: 'cell-1',
  servers: ['127.0.0.1:8889'],
  dataDir: '/data',
  tls: { ca: 'ca.crt', cert: 'cell-1.crt', key: 'cell-1.key' },
};
const load = (overrides: object, env: NodeJS.ProcessEnv = {}) => loadConfig({ schema: cellConfig, env, overrides });

describe('the configuration of a cell', () => {
  it("needs little; the rest is the reference's", () => {
    expect(load(least)).toMatchObject({
      backend: 'oci',
      memoryMb: 'auto',
      containers: 'auto',
      stopContainersOnExit: false,
      portRange: { first: 61_001, last: 65_534 },
      executor: { gracefulShutdownInterval: 10_000, reservedExpirationTime: 60_000 },
    });
  });

  it('can be set by the environment', () => {
    const env = { RIVERA_MEMORY_MB: '512', RIVERA_STOP_CONTAINERS_ON_EXIT: 'true', RIVERA_PORT_RANGE_FIRST: '62000' };
    expect(load(least, env)).toMatchObject({ memoryMb: 512, stopContainersOnExit: true, portRange: { first: 62_000 } });
  });

  it('is refused with the rule that it breaks', () => {
    expect(() => load({ ...least, cellId: 'a b' })).toThrow('must be 1..64 of A-Z a-z 0-9 _ -');
    expect(() => load({ ...least, portRange: { first: 2_000, last: 1_999 } })).toThrow('first must not be above last');
    expect(() => load({ ...least, executor: { memoryMb: 5 } })).toThrow('unknown key executor.memoryMb');
    expect(() => load({ ...least, memory: 5 })).toThrow('did you mean memoryMb?');
  });

  it('bounds what people may hold of a container', () => {
    const log = { logger: silentLogger, clock: systemClock };
    expect(ociOptionsOf(load(least), log)).toMatchObject({ maxExecs: 64, streamIdleMs: 60_000 });
    const env = { RIVERA_MAX_EXECS: '3', RIVERA_STREAM_IDLE_TIMEOUT: '5s' };
    expect(ociOptionsOf(load(least, env), log)).toMatchObject({ maxExecs: 3, streamIdleMs: 5_000 });
    expect(() => load({ ...least, maxExecs: 0 })).toThrow('maxExecs');
    expect(() => load({ ...least, streamIdleTimeout: '10ms' })).toThrow('streamIdleTimeout');
    expect(() => load({ ...least, streamIdleMs: 10 })).toThrow('unknown key streamIdleMs');
  });

  it('explains every key', () => {
    const rows = configTable(cellConfig).split('\n').slice(2).filter(Boolean);
    expect(rows.length).toBeGreaterThan(30);
    for (const row of rows) expect(row.split('|').at(-2)?.trim(), row).not.toBe('');
  });
});
