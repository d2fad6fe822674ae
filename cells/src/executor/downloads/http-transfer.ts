import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Readable } from 'node:stream';
import { rootCertificates } from 'node:tls';
import { redactUrls } from './redact.js';

const MAX_REDIRECTS = 10;

/** How transfers are made. */
export interface TransferSettings {
  /** Connecting, TLS included. */
  connectTimeoutMs: number;
  /** Without a byte in either direction. */
  idleTimeoutMs: number;
  tls?: TransferTls | undefined;
}

/** Whom transfers trust, and who they are. */
export interface TransferTls {
  /** Trusted in addition to the authorities that everybody trusts: PEM. */
  caPem?: string;
  /** Shown to servers that ask for it: PEM. */
  clientCertificate?: { certPem: string; keyPem: string };
}

/** A transfer that failed before there was an answer. */
export class TransferError extends Error {
  override readonly name = 'TransferError';
}

/** An answer whose body has not been read. */
export interface TransferResponse {
  status: number;
  headers: Record<string, string | undefined>;
  body: Readable;
}

/** What is asked for. */
export interface TransferRequest {
  method: 'GET' | 'POST';
  url: string;
  headers: Record<string, string>;
  body?: () => Readable;
  signal: AbortSignal;
}

/**
 * One HTTP exchange without keep-alive and without content decoding: checksums are about the bytes as they were sent.
 * Redirects of GET are followed; user info of the URL becomes basic authentication for its own origin alone.
 * @throws TransferError, with no secret of a URL in its text
 */
export async function transfer(request: TransferRequest, settings: TransferSettings): Promise<TransferResponse> {
  let url = parseUrl(request.url);
  for (let hops = 0; ; hops++) {
    const response = await exchange(url, request, settings);
    const location = response.headers.location;
    const redirected = [301, 302, 303, 307, 308].includes(response.statusCode ?? 0) && location !== undefined;
    if (!redirected || request.method !== 'GET') {
      return { status: response.statusCode ?? 0, headers: plainHeaders(response), body: response };
    }
    response.destroy();
    if (hops === MAX_REDIRECTS) throw new TransferError(`more than ${MAX_REDIRECTS} redirects`);
    url = parseUrl(new URL(location, url).href);
  }
}

function parseUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new TransferError('the URL is invalid');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new TransferError(`unsupported protocol scheme "${url.protocol.slice(0, -1)}"`);
  return url;
}

function exchange(url: URL, request: TransferRequest, settings: TransferSettings): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      clearTimeout(connecting);
      reject(
        new TransferError(redactUrls(error.message || (error as NodeJS.ErrnoException).code || 'connection failed'), {
          cause: error,
        }),
      );
    };
    const { caPem, clientCertificate } = settings.tls ?? {};
    const options = { method: request.method, headers: request.headers, agent: false as const, signal: request.signal };
    const outgoing: ClientRequest =
      url.protocol === 'http:'
        ? httpRequest(url, options)
        : httpsRequest(url, {
            ...options,
            ...(caPem !== undefined && { ca: [...rootCertificates, caPem] }),
            ...(clientCertificate && { cert: clientCertificate.certPem, key: clientCertificate.keyPem }),
          });
    const connecting = setTimeout(
      () => outgoing.destroy(new Error(`timed out after ${settings.connectTimeoutMs} ms connecting to ${url.host}`)),
      settings.connectTimeoutMs,
    );
    outgoing.once('socket', (socket) => {
      socket.once(url.protocol === 'http:' ? 'connect' : 'secureConnect', () => clearTimeout(connecting));
      socket.setTimeout(settings.idleTimeoutMs, () =>
        outgoing.destroy(new Error(`nothing came from ${url.host} for ${settings.idleTimeoutMs} ms`)),
      );
    });
    outgoing.once('error', fail);
    outgoing.once('response', (response) => {
      clearTimeout(connecting);
      resolve(response);
    });
    const body = request.body?.();
    if (!body) outgoing.end();
    else {
      body.once('error', (error) => outgoing.destroy(error));
      outgoing.once('close', () => body.destroy());
      body.pipe(outgoing);
    }
  });
}

function plainHeaders(response: IncomingMessage): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  );
}
