import type { Clock } from '@rivera/kit/clock';
import { ImageError } from '../image-error.js';
import {
  AuthorizationCache,
  authorizationKey,
  basicAuthorization,
  type Challenge,
  type Credentials,
  parseChallenge,
  readToken,
  tokenUrl,
} from './auth.js';
import { type Answer, baseUrl, get, type HttpSettings, readAll, TemporaryError } from './http.js';
import type { ImageReference } from './reference.js';

const MAX_TOKEN_BYTES = 1024 * 1024;
/** A registry that takes name and password takes them for as long as they are right. */
const BASIC_TTL_MS = 3_600_000;

/** Whose image is asked for, by whom. */
export interface Asker {
  image: ImageReference;
  credentials: Credentials | undefined;
  signal: AbortSignal;
}

/** GETs of a registry, with whatever it wants to see first. */
export class AuthorizedRequests {
  readonly #cache: AuthorizationCache;

  constructor(
    private readonly settings: HttpSettings,
    clock: Clock,
  ) {
    this.#cache = new AuthorizationCache(() => clock.now());
  }

  /**
   * @param path below the repository, such as `manifests/latest`
   * @throws ImageError `unauthorised`, `unreachable`; TemporaryError, UnusableError
   */
  async get(path: string, headers: Record<string, string>, asker: Asker): Promise<Answer> {
    const { image, credentials, signal } = asker;
    const url = new URL(`${image.repository}/${path}`, baseUrl(image.registry, this.settings));
    const key = authorizationKey({ registry: image.registry, repository: image.repository, credentials });
    for (let round = 0; ; round++) {
      const answer = await get(url, { headers, authorization: this.#cache.get(key), signal }, this.settings);
      const asked = answer.status === 401 && answer.url.origin === url.origin;
      if (!asked || round > 0) return settled(answer, asker);
      await answer.discard();
      this.#cache.forget(key);
      const challenge = parseChallenge(answer.headers.get('www-authenticate'));
      const { header, ttlMs } = await this.#answerTo(challenge, asker);
      this.#cache.set(key, header, ttlMs);
    }
  }

  async #answerTo(challenge: Challenge | undefined, asker: Asker): Promise<{ header: string; ttlMs: number }> {
    const { image, credentials, signal } = asker;
    if (challenge?.scheme === 'basic' && credentials)
      return { header: basicAuthorization(credentials), ttlMs: BASIC_TTL_MS };
    if (challenge?.scheme !== 'bearer') throw unauthorised(asker);
    if (!URL.canParse(challenge.realm))
      throw new ImageError('unreachable', `image ${image.name}: its registry names no server that gives tokens`);
    const isPlain = baseUrl(image.registry, this.settings).protocol === 'http:';
    if (!isPlain && !challenge.realm.startsWith('https:'))
      throw new ImageError('unreachable', `image ${image.name}: its registry wants a password to be told without TLS`);
    const authorization = credentials && basicAuthorization(credentials);
    const answer = await get(tokenUrl(challenge, credentials), { headers: {}, authorization, signal }, this.settings);
    const { status, url } = await settled(answer, asker);
    if (status !== 200) await answer.discard();
    const refusal = `image ${image.name}: ${url.host} gives no token`;
    if (status !== 200) throw new ImageError('unreachable', `${refusal}: it answered with status ${status}`);
    const found = readToken(jsonOf(await readAll(answer, MAX_TOKEN_BYTES)));
    if (!found) throw new ImageError('unreachable', refusal);
    return { header: `Bearer ${found.token}`, ttlMs: found.ttlMs };
  }
}

/** The answer, unless it is one that is the same for everything that may be asked. */
async function settled(answer: Answer, asker: Asker): Promise<Answer> {
  const { status, url } = answer;
  if (status === 401 || status === 403) {
    await answer.discard();
    throw unauthorised(asker);
  }
  if (status === 429 || status >= 500) {
    await answer.discard();
    throw new TemporaryError(`${url.host} answered with status ${status}`);
  }
  return answer;
}

function unauthorised({ image, credentials }: Asker): ImageError {
  const why = credentials
    ? `unauthorised: user '${credentials.username}' may not pull it, or the password is wrong`
    : 'unauthorised: it is not there for everybody, and no credentials were given';
  return new ImageError('unauthorised', `image ${image.name}: ${why}`);
}

function jsonOf(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString('utf8'));
  } catch {
    // What can't be read holds no token, and that is what the caller says.
    return undefined;
  }
}
