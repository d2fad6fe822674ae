import { describe, expect, it } from 'vitest';
import { CliError, EXIT } from '../failures.js';
import {
  parseCount,
  parseEnvironment,
  parseInstance,
  parseMegabytes,
  parseMilliseconds,
  parseProbe,
  parseSlots,
} from './quantities.js';

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof CliError && error.exitCode === EXIT.usage) return error.message;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('sizes', () => {
  it.each([
    ['64', 64],
    ['64M', 64],
    ['64MiB', 64],
    ['1g', 1024],
    ['1.5G', 1536],
    ['0', 0],
  ])('%s is %d MiB', (text, megabytes) => {
    expect(parseMegabytes(text)).toBe(megabytes);
  });

  it.each(['', 'x', '-1', '1K', '9999999T'])('%j is refused', (text) => {
    expect(refusal(() => parseMegabytes(text))).toContain(text);
  });
});

describe('counts', () => {
  it('have bounds', () => {
    const parse = parseCount('--instances', 0, 10);
    expect(parse('10')).toBe(10);
    expect(refusal(() => parse('11'))).toBe("--instances must be a whole number from 0 to 10, not '11'");
    expect(refusal(() => parse('-1'))).toContain('-1');
    expect(refusal(() => parse('1.5'))).toContain('1.5');
  });

  it('of time have units', () => {
    expect(parseMilliseconds('2m')).toBe(120_000);
    expect(refusal(() => parseMilliseconds('soon'))).toContain('soon');
  });
});

describe('variables', () => {
  it('keep everything behind the first equals sign', () => {
    expect(parseEnvironment(['A=1=2', 'B='], {})).toEqual([
      { name: 'A', value: '1=2' },
      { name: 'B', value: '' },
    ]);
  });

  it('take the value from here when they have none', () => {
    expect(parseEnvironment(['HOME'], { HOME: '/root' })).toEqual([{ name: 'HOME', value: '/root' }]);
    expect(refusal(() => parseEnvironment(['NOPE'], {}))).toBe('NOPE is not set here');
    expect(refusal(() => parseEnvironment(['=x'], {}))).toContain('=x');
  });
});

describe('instances', () => {
  it('are named NAME or NAME/INDEX', () => {
    expect(parseInstance('hello')).toEqual({ processGuid: 'hello', index: 0 });
    expect(parseInstance('hello/12')).toEqual({ processGuid: 'hello', index: 12 });
    expect(parseSlots('hello')).toEqual({ processGuid: 'hello', index: undefined });
    expect(parseSlots('hello/0')).toEqual({ processGuid: 'hello', index: 0 });
    for (const text of ['hello/', 'hello/x', '/1', 'a/b/1', 'hello/-1']) refusal(() => parseInstance(text));
  });
});

describe('health checks', () => {
  it.each([
    ['none', { kind: 'none' }],
    ['tcp', { kind: 'tcp', port: 8080 }],
    ['tcp:9000', { kind: 'tcp', port: 9000 }],
    ['http', { kind: 'http', port: 8080, path: '/' }],
    ['http:/up?deep=1', { kind: 'http', port: 8080, path: '/up?deep=1' }],
    ['http:9000/up', { kind: 'http', port: 9000, path: '/up' }],
  ])('%s', (text, probe) => {
    expect(parseProbe(text, [8080])).toEqual(probe);
  });

  it('need a port to knock at', () => {
    expect(refusal(() => parseProbe('tcp', []))).toBe('--check tcp needs a port');
    for (const text of ['udp', 'tcp:/x', 'http:x', 'http:99999']) refusal(() => parseProbe(text, [1]));
  });
});
