import { describe, expect, it } from 'vitest';
import { settle } from './options.js';

const tls = { ca: 'ca', cert: 'cert', key: 'key' };

describe('settings', () => {
  it('come from the options, else from the environment, else from the defaults', () => {
    const env = { RIVERA_SERVERS: 'a:1, b:2 ,' };
    expect(settle({ servers: ['[::1]:8889'], tls }, env).servers).toEqual(['[::1]:8889']);
    expect(settle({ tls }, env).servers).toEqual(['a:1', 'b:2']);
    expect(settle({ tls }, {})).toMatchObject({ servers: ['127.0.0.1:8889'], deadlineMs: 10_000, maxAttempts: 4 });
  });

  it('need certificates, and say how to give them', () => {
    expect(() => settle({}, { RIVERA_CA: '/ca' })).toThrow('RIVERA_CA, RIVERA_CERT and RIVERA_KEY');
  });

  it.each([
    [{ servers: [] }, 'servers'],
    [{ servers: ['host'] }, 'servers'],
    [{ servers: ['https://host:1'] }, 'servers'],
    [{ deadlineMs: 0 }, 'deadlineMs'],
    [{ deadlineMs: Number.NaN }, 'deadlineMs'],
    [{ maxAttempts: 1.5 }, 'maxAttempts'],
  ])('are refused by name: %j', (options, field) => {
    expect(() => settle({ tls, ...options }, {})).toThrow(
      expect.objectContaining({ name: 'InvalidRequestError', violations: [expect.objectContaining({ field })] }),
    );
  });
});
