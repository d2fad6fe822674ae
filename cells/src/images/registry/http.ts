import { untilAborted } from '@rivera/kit/single-flight';

/** How requests are made. */
export interface HttpSettings {
  /** `HOST` or `HOST:PORT` of registries that are spoken to without TLS, besides this machine's own. */
  insecureRegistries: readonly string[];
  /** From asking to the head of the answer, connecting included. */
  answerTimeoutMs: number;
  /** Without half a mebibyte of the body, or its end. */
  idleTimeoutMs: number;
}

/** An answer whose body has not been read. */
export interface Answer {
  status: number;
  headers: Headers;
  /** Where it came from, after redirects. */
  url: URL;
  /** The body, once. */
  chunks(): AsyncGenerator<Buffer>;
  /** Lets go of the body. */
  discard(): Promise<void>;
}

/** No answer, or one that says to come back: worth another attempt. */
export class TemporaryError extends Error {
  override readonly name = 'TemporaryError';
}

/** An answer that will be no better next time. */
export class UnusableError extends Error {
  override readonly name = 'UnusableError';
}

/**
 * What has to come of a body within the idle time. Few layers are fetched at a time, and a registry that sends a byte now and then would
 * keep all others waiting.
 */
const LEAST_BYTES = 512 * 1024;
const MAX_REDIRECTS = 5;
const REDIRECTS = [301, 302, 303, 307, 308];

/**
 * One GET. Credentials go to the origin that was asked and not to where it redirects to. Plain HTTP is for this machine and for
 * registries of which an operator said so, and is never what an encrypted connection leads to otherwise.
 * @throws TemporaryError; UnusableError; the signal's reason when it was aborted
 */
export async function get(
  start: URL,
  request: { headers: Record<string, string>; authorization?: string | undefined; signal: AbortSignal },
  settings: HttpSettings,
): Promise<Answer> {
  let url = start;
  for (let hops = 0; ; hops++) {
    if (!isAllowed(url, settings) || (url.protocol === 'http:' && start.protocol !== 'http:' && isLoopback(url)))
      throw new UnusableError(`${start.host} leads to ${url.origin}, which would be asked without TLS`);
    const answer = await exchange(
      url,
      { ...request, ...(url.origin !== start.origin && { authorization: undefined }) },
      settings,
    );
    const location = REDIRECTS.includes(answer.status) ? answer.headers.get('location') : null;
    if (location === null) return answer;
    await answer.discard();
    if (hops === MAX_REDIRECTS) throw new UnusableError(`${start.host} redirects more than ${MAX_REDIRECTS} times`);
    if (!URL.canParse(location, url.href)) throw new UnusableError(`${url.host} redirects to nowhere`);
    url = new URL(location, url.href);
  }
}

/** Where a registry's requests go. */
export function baseUrl(registry: string, settings: Pick<HttpSettings, 'insecureRegistries'>): URL {
  const plain = new URL(`http://${registry}/v2/`);
  return isAllowed(plain, settings) ? plain : new URL(`https://${registry}/v2/`);
}

/** A body of at most `maxBytes`. @throws UnusableError when it is larger; TemporaryError */
export async function readAll(answer: Answer, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer.chunks()) {
    size += chunk.length;
    if (size > maxBytes) throw new UnusableError(`${answer.url.host} sent more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function isAllowed(url: URL, { insecureRegistries }: Pick<HttpSettings, 'insecureRegistries'>): boolean {
  if (url.protocol === 'https:') return true;
  return url.protocol === 'http:' && (isLoopback(url) || insecureRegistries.includes(url.host));
}

function isLoopback({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

async function exchange(
  url: URL,
  request: { headers: Record<string, string>; authorization?: string | undefined; signal: AbortSignal },
  { answerTimeoutMs, idleTimeoutMs }: HttpSettings,
): Promise<Answer> {
  const { headers, authorization, signal } = request;
  const cut = new AbortController();
  const cutAfter = (ms: number, what: string) => setTimeout(() => cut.abort(new TemporaryError(what)), ms);
  const failure = (error: unknown): unknown => {
    if (signal.aborted) return signal.reason;
    return cut.signal.aborted
      ? cut.signal.reason
      : new TemporaryError(`${url.host}: ${reasonOf(error)}`, { cause: error });
  };
  const answering = cutAfter(answerTimeoutMs, `${url.host} did not answer for ${answerTimeoutMs} ms`);
  const ended = AbortSignal.any([signal, cut.signal]);
  let response: Response;
  try {
    response = await fetch(url, {
      redirect: 'manual',
      // Digests are about the bytes as they are, so nobody may pack them for the journey.
      headers: { ...headers, 'accept-encoding': 'identity', ...(authorization !== undefined && { authorization }) },
      signal: ended,
    });
  } catch (error) {
    throw failure(error);
  } finally {
    clearTimeout(answering);
  }
  async function* chunks(): AsyncGenerator<Buffer> {
    const reader = response.body?.getReader();
    if (!reader) return;
    let [waitedMs, came] = [0, 0];
    let timer: NodeJS.Timeout | undefined;
    try {
      for (;;) {
        const fromMs = performance.now();
        const much = came === 0 ? 'nothing' : `no more than ${came} bytes`;
        timer = cutAfter(idleTimeoutMs - waitedMs, `${much} came from ${url.host} for ${idleTimeoutMs} ms`);
        // A fetch that is aborted when all of its body has come never ends the body; so the signal is asked here too.
        const { done, value } = await untilAborted(reader.read(), ended);
        clearTimeout(timer);
        if (done) return;
        // The time that a slow reader takes is not the server's.
        waitedMs += performance.now() - fromMs;
        came += value.byteLength;
        if (came >= LEAST_BYTES) [waitedMs, came] = [0, 0];
        yield Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      }
    } catch (error) {
      throw failure(error);
    } finally {
      clearTimeout(timer);
      reader.cancel().catch(() => {});
    }
  }
  const discard = async (): Promise<void> => {
    await response.body?.cancel();
  };
  return { status: response.status, headers: response.headers, url, chunks, discard };
}

/** `fetch failed` helps nobody; what failed is in its cause. */
function reasonOf(error: unknown): string {
  const { cause } = error as { cause?: NodeJS.ErrnoException };
  if (cause !== undefined) return cause.code ?? cause.message;
  return error instanceof Error ? error.message : String(error);
}
