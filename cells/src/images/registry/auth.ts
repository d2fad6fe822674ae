import { createHash } from 'node:crypto';

/** Whom a registry is to take the cell for. */
export interface Credentials {
  username: string;
  password: string;
}

/** What a registry wants to see before it answers. */
export type Challenge =
  | { scheme: 'basic' }
  | { scheme: 'bearer'; realm: string; service: string | undefined; scope: string | undefined };

/** Tokens are forgotten a little before they expire: a request is on its way for a while. */
const EARLY_MS = 10_000;
/** What the protocol says when the server doesn't. */
const DEFAULT_TOKEN_TTL_MS = 60_000;
const MAX_TOKENS = 1000;
/** Of a challenge; the time that it takes to be read grows with the square of its length. */
const MAX_CHALLENGE = 4096;

/** Reads `WWW-Authenticate`; undefined when it asks for something unknown. */
export function parseChallenge(header: string | null): Challenge | undefined {
  const found = /^\s*(basic|bearer)\b/i.exec(header ?? '');
  if (header === null || !found || header.length > MAX_CHALLENGE) return undefined;
  if (found[1]?.toLowerCase() === 'basic') return { scheme: 'basic' };
  const parameters = new Map<string, string>();
  for (const [, key = '', quoted, plain] of header.matchAll(/([a-z_]+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))/gi))
    parameters.set(key.toLowerCase(), quoted ?? plain ?? '');
  const realm = parameters.get('realm');
  if (realm === undefined) return undefined;
  return { scheme: 'bearer', realm, service: parameters.get('service'), scope: parameters.get('scope') };
}

export function basicAuthorization({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** Where a bearer token is asked for. */
export function tokenUrl(challenge: Challenge & { scheme: 'bearer' }, credentials: Credentials | undefined): URL {
  const url = new URL(challenge.realm);
  if (challenge.service !== undefined) url.searchParams.set('service', challenge.service);
  for (const scope of challenge.scope?.split(' ') ?? []) url.searchParams.append('scope', scope);
  if (credentials) url.searchParams.set('account', credentials.username);
  return url;
}

/** The token in a token server's answer, and how long it is good for; undefined when there is none. */
export function readToken(json: unknown): { token: string; ttlMs: number } | undefined {
  const { token, access_token, expires_in } = (json ?? {}) as Record<string, unknown>;
  const found = token ?? access_token;
  if (typeof found !== 'string' || found === '') return undefined;
  const seconds = typeof expires_in === 'number' && expires_in > 0 ? expires_in : undefined;
  return { token: found, ttlMs: seconds === undefined ? DEFAULT_TOKEN_TTL_MS : seconds * 1000 };
}

/** What a registry accepted, per repository and user: asked for once and not for each layer. */
export class AuthorizationCache {
  readonly #entries = new Map<string, { header: string; expiresAtMs: number }>();

  constructor(private readonly now: () => number) {}

  get(key: string): string | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.expiresAtMs <= this.now()) return undefined;
    return entry.header;
  }

  set(key: string, header: string, ttlMs: number): void {
    const oldest = this.#entries.keys().next().value;
    if (this.#entries.size >= MAX_TOKENS && oldest !== undefined) this.#entries.delete(oldest);
    this.#entries.delete(key);
    this.#entries.set(key, { header, expiresAtMs: this.now() + Math.max(0, ttlMs - EARLY_MS) });
  }

  forget(key: string): void {
    this.#entries.delete(key);
  }
}

/** Names an authorization without holding its secret. */
export function authorizationKey(o: {
  registry: string;
  repository: string;
  credentials: Credentials | undefined;
}): string {
  const { registry, repository, credentials } = o;
  const who = credentials ? [credentials.username, credentials.password] : [];
  return createHash('sha256')
    .update(JSON.stringify([registry, repository, ...who]))
    .digest('hex');
}
