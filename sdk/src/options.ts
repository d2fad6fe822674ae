import { readFileSync } from 'node:fs';
import { InvalidRequestError } from './errors.js';

/** Certificates in memory, PEM. */
export interface TlsMaterial {
  /** The certificate authority that signed the servers' certificates. */
  ca: string | Buffer;
  /** The client's certificate. */
  cert: string | Buffer;
  /** Its private key. */
  key: string | Buffer;
}

/** Certificates in files, PEM. */
export interface TlsFiles {
  caFile: string;
  certFile: string;
  keyFile: string;
}

/** How a client reaches its servers. */
export interface ConnectOptions {
  /** `host:port` of each server; default: RIVERA_SERVERS, separated by commas, else 127.0.0.1:8889. */
  servers?: readonly string[] | undefined;
  /** Who the client is; default: the files that RIVERA_CA, RIVERA_CERT and RIVERA_KEY name. */
  tls?: TlsMaterial | TlsFiles | undefined;
  /** Time for a call with all its attempts, in milliseconds; default 10,000. */
  deadlineMs?: number | undefined;
  /** Attempts of a call that is safe to repeat, at least 1; default 4. */
  maxAttempts?: number | undefined;
}

/** Options with everything filled in and the files read. */
export interface Settings {
  readonly servers: readonly string[];
  readonly tls: { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer };
  readonly deadlineMs: number;
  readonly maxAttempts: number;
}

const DEFAULT_SERVER = '127.0.0.1:8889';
const DEFAULT_DEADLINE_MS = 10_000;
const DEFAULT_MAX_ATTEMPTS = 4;

/** Fills options from the environment and reads the certificates. Throws {@link InvalidRequestError} naming what is wrong. */
export function settle(options: ConnectOptions, env: Readonly<Record<string, string | undefined>>): Settings {
  const fromEnv = (env.RIVERA_SERVERS ?? '')
    .split(',')
    .map((server) => server.trim())
    .filter(Boolean);
  const servers = options.servers ?? (fromEnv.length > 0 ? fromEnv : [DEFAULT_SERVER]);
  const { deadlineMs = DEFAULT_DEADLINE_MS, maxAttempts = DEFAULT_MAX_ATTEMPTS } = options;

  if (servers.length === 0) refuse('servers', 'at least one address is needed');
  for (const server of servers) {
    if (!/^(\[[0-9a-f:.]+\]|[^\s:/]+):\d{1,5}$/i.test(server)) refuse('servers', `"${server}" is not host:port`);
  }
  if (!(deadlineMs > 0)) refuse('deadlineMs', 'must be more than 0');
  if (!Number.isInteger(maxAttempts) || maxAttempts < 1) refuse('maxAttempts', 'must be a whole number, at least 1');
  return { servers, tls: readTls(options.tls ?? tlsFromEnv(env)), deadlineMs, maxAttempts };
}

function tlsFromEnv(env: Readonly<Record<string, string | undefined>>): TlsFiles {
  const { RIVERA_CA: caFile, RIVERA_CERT: certFile, RIVERA_KEY: keyFile } = env;
  if (!caFile || !certFile || !keyFile) {
    refuse('tls', 'no certificates: pass tls, or set RIVERA_CA, RIVERA_CERT and RIVERA_KEY to the paths of PEM files');
  }
  return { caFile, certFile, keyFile };
}

function readTls(tls: TlsMaterial | TlsFiles): Settings['tls'] {
  if ('ca' in tls) return { ca: Buffer.from(tls.ca), cert: Buffer.from(tls.cert), key: Buffer.from(tls.key) };
  return { ca: read('caFile', tls.caFile), cert: read('certFile', tls.certFile), key: read('keyFile', tls.keyFile) };
}

function read(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    refuse(`tls.${option}`, `${path} can't be read`, cause);
  }
}

function refuse(field: string, description: string, cause?: unknown): never {
  throw new InvalidRequestError({
    message: `${field}: ${description}`,
    reason: 'INVALID_REQUEST',
    violations: [{ field, description }],
    cause,
  });
}
