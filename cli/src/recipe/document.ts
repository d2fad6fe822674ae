import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { parse } from 'yaml';
import { CliError, EXIT, usageError } from '../failures.js';
import { nearest } from '../terminal/text.js';
import { parseDuration, toDuration } from '../terminal/time.js';

/** A spec larger than this is a mistake: the largest that the server takes is smaller. */
const MOST_BYTES = 4 * 1024 * 1024;

/** What a message's generated code offers. */
interface MessageType<T> {
  fromJSON(object: unknown): T;
  toJSON(message: T): unknown;
}

/** Reads a spec: a path, or `-` for standard input. JSON is YAML too. */
export async function readDocument(source: string, from: { cwd: string; stdin: Readable }): Promise<unknown> {
  const text = source === '-' ? await readAll(from.stdin) : readText(resolve(from.cwd, source));
  try {
    return parse(text, { maxAliasCount: 100 }) as unknown;
  } catch (error) {
    throw usageError(`${nameOf(source)} is not YAML: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * A message from a spec in protobuf's JSON form (camelCase or snake_case keys; durations may be written `30s`). The generated code
 * passes over keys that it does not know, so what does not come back from it is an error here, with the nearest known key.
 */
export function messageFrom<T>(type: MessageType<T>, document: unknown, source: string): T {
  if (!isObject(document)) throw usageError(`${nameOf(source)} must hold one object`);
  const prepared = withDurations(document);
  let message: T;
  try {
    message = type.fromJSON(prepared);
  } catch (error) {
    throw usageError(`${nameOf(source)}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const lost = firstLost(prepared, type.toJSON(message), '');
  if (lost !== undefined) {
    const meant = nearest(lost.key, lost.known);
    throw usageError(
      `${nameOf(source)}: unknown key '${lost.path}'`,
      ...(meant === undefined ? [] : [`Did you mean '${meant}'?`]),
    );
  }
  return message;
}

const DURATION_KEYS = new Set([
  'startTimeout',
  'timeout',
  'interval',
  'minimumBackoff',
  'maximumBackoff',
  'resetAfter',
]);

function withDurations(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => withDurations(item));
  if (isObject(value))
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, withDurations(v, camel(k))]));
  if (typeof value === 'string' && DURATION_KEYS.has(key)) {
    const ms = parseDuration(value);
    if (ms === undefined) throw usageError(`'${key}: ${value}' is not a duration: 500ms, 30s, 2m, 1h30m`);
    return toDuration(ms);
  }
  return value;
}

interface Lost {
  path: string;
  key: string;
  known: string[];
}

/**
 * The first key of `given` that did not survive. Values equal to a field's default are left out of JSON by protobuf's rules,
 * so a key whose value is such a default counts as known.
 */
function firstLost(given: unknown, kept: unknown, path: string): Lost | undefined {
  if (Array.isArray(given)) {
    const items = Array.isArray(kept) ? kept : [];
    for (const [i, item] of given.entries()) {
      const lost = firstLost(item, items[i], `${path}[${i}]`);
      if (lost !== undefined) return lost;
    }
    return undefined;
  }
  if (!isObject(given)) return undefined;
  const survivors = isObject(kept) ? kept : {};
  for (const [key, value] of Object.entries(given)) {
    const name = path === '' ? key : `${path}.${key}`;
    const survivor = key in survivors ? survivors[key] : survivors[camel(key)];
    if (survivor === undefined && !isDefault(value)) return { path: name, key, known: KNOWN_KEYS };
    const lost = firstLost(value, survivor, name);
    if (lost !== undefined) return lost;
  }
  return undefined;
}

/** Keys that specs are usually written with; only for the suggestion behind an unknown one. */
const KNOWN_KEYS = [
  ...['taskGuid', 'processGuid', 'domain', 'instances', 'container', 'setup', 'action', 'monitor', 'checkDefinition'],
  ...[
    'startTimeout',
    'ports',
    'routes',
    'annotation',
    'sidecars',
    'restartPolicy',
    'resultFile',
    'completionCallbackUrl',
  ],
  ...[
    'rootFs',
    'environmentVariables',
    'memoryMb',
    'diskMb',
    'maxPids',
    'cpuWeight',
    'privileged',
    'logSource',
    'logGuid',
  ],
  ...[
    'metricTags',
    'egressRules',
    'cachedDependencies',
    'placementTags',
    'runAction',
    'downloadAction',
    'uploadAction',
  ],
  ...['timeoutAction', 'emitProgressAction', 'tryAction', 'parallelAction', 'serialAction', 'codependentAction'],
  ...[
    'path',
    'args',
    'dir',
    'env',
    'user',
    'resourceLimits',
    'artifact',
    'from',
    'to',
    'cacheKey',
    'actions',
    'timeout',
  ],
  ...['checks', 'readinessChecks', 'tcpCheck', 'httpCheck', 'interval', 'failureThreshold', 'port', 'name', 'value'],
];

function isDefault(value: unknown): boolean {
  if (value === null || value === undefined || value === '' || value === 0 || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.keys(value).length === 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function camel(key: string): string {
  return key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function nameOf(source: string): string {
  return source === '-' ? 'standard input' : source;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw usageError(`the spec can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function readAll(stdin: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stdin) {
    const buffer = Buffer.from(chunk as Uint8Array);
    bytes += buffer.length;
    if (bytes > MOST_BYTES) throw new CliError(EXIT.usage, `the spec is larger than ${MOST_BYTES} bytes`);
    chunks.push(buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}
