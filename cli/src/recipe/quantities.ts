import type { EnvironmentVariable } from '@rivera/gen/rivera/recipe/v1/action';
import { usageError } from '../failures.js';
import { parseDuration } from '../terminal/time.js';

/** `64`, `64M`, `1G`, `1.5G`, with or without `iB`/`B`: MiB, a whole number. */
export function parseMegabytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([MGT]?)(?:i?B)?$/i.exec(text);
  if (match === null) throw usageError(`'${text}' is not a size: 64M, 1G, or a number of MiB`);
  const factor = { '': 1, M: 1, G: 1024, T: 1024 * 1024 }[(match[2] ?? '').toUpperCase()] ?? 1;
  const megabytes = Math.ceil(Number(match[1]) * factor);
  if (megabytes > 2 ** 31 - 1) throw usageError(`'${text}' is more than can be asked for`);
  return megabytes;
}

/** A whole number within bounds. */
export function parseCount(name: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const n = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(n >= least && n <= most))
      throw usageError(`${name} must be a whole number from ${least} to ${most}, not '${text}'`);
    return n;
  };
}

/** `30s`, `2m`, `1h30m`, or seconds: milliseconds. */
export function parseMilliseconds(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw usageError(`'${text}' is not a duration: 500ms, 30s, 2m, 1h30m`);
  return ms;
}

/** `NAME=VALUE`, or `NAME` alone for the value that it has here, as with docker. */
export function parseEnvironment(texts: readonly string[], env: NodeJS.ProcessEnv): EnvironmentVariable[] {
  return texts.map((text) => {
    const at = text.indexOf('=');
    const name = at < 0 ? text : text.slice(0, at);
    const value = at < 0 ? env[name] : text.slice(at + 1);
    if (name.trim() === '') throw usageError(`'${text}' is not NAME=VALUE`);
    if (value === undefined) throw usageError(`${name} is not set here`, `Give it a value: --env ${name}=VALUE`);
    return { name, value };
  });
}

/** A container as people name it: `NAME` is index 0, `NAME/2` index 2. */
export function parseInstance(text: string): { processGuid: string; index: number } {
  const { processGuid, index = 0 } = parseSlots(text);
  return { processGuid, index };
}

/** An LRP, or one instance of it. */
export interface Slots {
  readonly processGuid: string;
  readonly index: number | undefined;
}

/** Instances as people name them: `NAME` is all of an LRP, `NAME/2` the one of index 2. */
export function parseSlots(text: string): Slots {
  const match = /^([^/]+)(?:\/(\d{1,5}))?$/.exec(text);
  if (match === null) throw usageError(`'${text}' is not NAME or NAME/INDEX`);
  return { processGuid: match[1] ?? '', index: match[2] === undefined ? undefined : Number(match[2]) };
}

/** How the health of an instance is found out. */
export type HealthProbe =
  | { kind: 'none' }
  | { kind: 'tcp'; port: number }
  | { kind: 'http'; port: number; path: string };

/**
 * `none`, `tcp`, `tcp:PORT`, `http`, `http:/path`, `http:PORT`, `http:PORT/path`. Without a port it is the first that is mapped.
 */
export function parseProbe(text: string, ports: readonly number[]): HealthProbe {
  if (text === 'none') return { kind: 'none' };
  const match = /^(tcp|http)(?::(\d+)?(\/\S*)?)?$/.exec(text);
  if (match === null || (match[1] === 'tcp' && match[3] !== undefined)) {
    throw usageError(`'${text}' is not a health check: tcp, tcp:PORT, http:/path, http:PORT/path, none`);
  }
  const port = match[2] === undefined ? ports[0] : parseCount('the port of --check', 1, 65_535)(match[2]);
  if (port === undefined)
    throw usageError(`--check ${text} needs a port`, `Map one with --port, or name it: --check ${match[1]}:PORT`);
  return match[1] === 'tcp' ? { kind: 'tcp', port } : { kind: 'http', port, path: match[3] ?? '/' };
}
