import { type IncomingMessage, request } from 'node:http';
import { connect, isIP } from 'node:net';
import type { Check, HttpCheck, TcpCheck } from '@rivera/gen/rivera/recipe/v1/action';
import type { Prober, ProbeTarget } from './prober.js';

const MAX_REDIRECTS = 10;
/** Of an answer's body; what is longer has shown enough life. */
const MAX_BODY_BYTES = 1024 * 1024;

/**
 * Probes containers over the network of the cell, without a process in the container. Redirects are followed within the
 * container alone: the cell must not be led to ask other machines on an application's behalf.
 */
export class NetworkProber implements Prober {
  async probe(check: Check, target: ProbeTarget, signal: AbortSignal): Promise<string | undefined> {
    switch (check.probe?.$case) {
      case 'tcpCheck':
        return probeTcp(check.probe.value, target, signal);
      case 'httpCheck':
        return probeHttp(check.probe.value, target, signal);
      case undefined:
        return 'the check says neither port nor path';
    }
  }
}

function probeTcp(
  { port }: TcpCheck,
  { address, timeoutMs }: ProbeTarget,
  signal: AbortSignal,
): Promise<string | undefined> {
  const prefix = `failed to make TCP connection to ${address}:${port}: `;
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port });
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      socket.destroy();
      settle();
    };
    const aborted = (): void => end(() => reject(signal.reason));
    const timer = setTimeout(() => end(() => resolve(`${prefix}${timedOut(timeoutMs)}`)), timeoutMs);
    socket.once('connect', () => end(() => resolve(undefined)));
    socket.on('error', (error: NodeJS.ErrnoException) => end(() => resolve(`${prefix}${dialError(error)}`)));
    signal.addEventListener('abort', aborted, { once: true });
    if (signal.aborted) aborted();
  });
}

async function probeHttp(check: HttpCheck, target: ProbeTarget, signal: AbortSignal): Promise<string | undefined> {
  const path = check.path === '' ? '/' : check.path;
  const prefix = `failed to make HTTP request to '${path}' on port ${check.port}`;
  const host = isIP(target.address) === 6 ? `[${target.address}]` : target.address;
  if (!path.startsWith('/') || !URL.canParse(`http://${host}:${check.port}${path}`)) {
    return `failed to create an HTTP request to '${path}' on port ${check.port}`;
  }
  const timeout = AbortSignal.timeout(target.timeoutMs);
  const startedMs = performance.now();
  try {
    const status = await finalStatus(
      new URL(`http://${host}:${check.port}${path}`),
      AbortSignal.any([signal, timeout]),
    );
    return status === 200
      ? undefined
      : `${prefix}: received status code ${status} in ${Math.round(performance.now() - startedMs)}ms`;
  } catch {
    signal.throwIfAborted();
    return timeout.aborted ? `${prefix}: ${timedOut(target.timeoutMs)}` : `${prefix}: connection refused`;
  }
}

async function finalStatus(start: URL, signal: AbortSignal): Promise<number> {
  let url = start;
  for (let hops = 0; ; hops++) {
    const { status, location } = await get(url, signal);
    const next =
      status >= 300 && status < 400 && location !== undefined
        ? withinContainer(location, url, start.hostname)
        : undefined;
    if (!next || hops === MAX_REDIRECTS) return status;
    url = next;
  }
}

/** Where a redirect leads when it stays in the container, which may call itself localhost. */
function withinContainer(location: string, from: URL, address: string): URL | undefined {
  if (!URL.canParse(location, from.href)) return undefined;
  const url = new URL(location, from);
  if (url.protocol !== 'http:') return undefined;
  if (['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)) url.hostname = address;
  return url.hostname === address ? url : undefined;
}

function get(url: URL, signal: AbortSignal): Promise<{ status: number; location?: string }> {
  return new Promise((resolve, reject) => {
    const headers = { 'user-agent': 'diego-healthcheck', 'x-forwarded-proto': 'https' };
    const outgoing = request(url, { agent: false, headers, signal }, (response: IncomingMessage) => {
      let bytes = 0;
      const answer = {
        status: response.statusCode ?? 0,
        ...(response.headers.location && { location: response.headers.location }),
      };
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes <= MAX_BODY_BYTES) return;
        resolve(answer);
        outgoing.destroy();
      });
      response.once('end', () => resolve(answer));
      response.once('error', reject);
    });
    outgoing.once('error', reject);
    outgoing.end();
  });
}

function timedOut(timeoutMs: number): string {
  return `timed out after ${(timeoutMs / 1000).toFixed(2)} seconds`;
}

function dialError(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ECONNREFUSED':
      return 'connection refused';
    case 'EHOSTUNREACH':
      return 'no route to host';
    case 'ENETUNREACH':
      return 'network is unreachable';
    default:
      return error.message;
  }
}
