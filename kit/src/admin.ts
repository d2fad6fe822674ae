import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Logger } from './log.js';
import { METRICS_CONTENT_TYPE, type MetricsRegistry } from './metrics.js';
import { redact, redactText } from './redact.js';

export interface AdminOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly metrics: MetricsRegistry;
  /** What keeps this program from doing its work; nothing: it is ready. */
  readonly ready: () => Promise<readonly string[]>;
  /** What somebody who helps from afar wants to see, one object a line. Secrets are left out by whoever makes it. */
  readonly state: () => AsyncIterable<object> | Iterable<object>;
  /** Whether `state` is for others than this machine. */
  readonly remoteState: boolean;
  readonly logger: Logger;
}

const MAX_CONNECTIONS = 64;
const READY_TIMEOUT_MS = 5_000;
/** A connection on which nothing moves for so long is ended, also in the middle of an answer. */
const IDLE_TIMEOUT_MS = 30_000;
const PATHS = ['/metrics', '/healthz', '/readyz', '/debug/state'];

/**
 * The port for those who operate a program: /metrics (Prometheus), /healthz (it lives), /readyz (it can do its work, or why
 * not), /debug/state (JSON lines, for this machine alone unless told otherwise).
 */
export class AdminServer {
  readonly #server: Server;
  readonly #options: AdminOptions;
  #dumping = false;

  private constructor(options: AdminOptions) {
    this.#options = options;
    this.#server = createServer(
      { headersTimeout: 5_000, requestTimeout: 10_000, keepAliveTimeout: 5_000, maxHeaderSize: 8 * 1024 },
      (request, response) => {
        this.#answer(request, response).catch((error: unknown) => {
          options.logger.error({ err: error, url: request.url }, 'the admin port could not answer');
          response.destroy();
        });
      },
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.timeout = IDLE_TIMEOUT_MS;
  }

  /** @throws Error of Node, such as EADDRINUSE */
  static async listen(options: AdminOptions): Promise<AdminServer> {
    const admin = new AdminServer(options);
    await new Promise<void>((resolve, reject) => {
      admin.#server.once('error', reject);
      admin.#server.listen({ host: options.host, port: options.port }, () => {
        admin.#server.off('error', reject);
        resolve();
      });
    });
    return admin;
  }

  /** host:port that it listens on. */
  get address(): string {
    const bound = this.#server.address();
    if (typeof bound !== 'object' || bound === null) return '';
    return bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
  }

  /** Breaks off what is under way; nothing is open afterwards. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      return json(response, 405, { error: 'only GET and HEAD' });
    }
    switch (request.url?.split('?')[0]) {
      case '/metrics':
        return text(response, METRICS_CONTENT_TYPE, this.#options.metrics.text());
      case '/healthz':
        return json(response, 200, { alive: true });
      case '/readyz': {
        const reasons = await this.#reasons();
        return json(response, reasons.length === 0 ? 200 : 503, { ready: reasons.length === 0, reasons });
      }
      case '/debug/state':
        return this.#dump(request, response);
      default:
        return json(response, 404, { error: `there is ${PATHS.join(', ')}` });
    }
  }

  async #reasons(): Promise<readonly string[]> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<readonly string[]>((resolve) => {
      timer = setTimeout(() => resolve(['readiness could not be found out in time']), READY_TIMEOUT_MS);
    });
    try {
      return await Promise.race([this.#options.ready(), late]);
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'readiness could not be found out');
      return ['readiness could not be found out'];
    } finally {
      clearTimeout(timer);
    }
  }

  async #dump(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!this.#options.remoteState && !isFromHere(request)) {
      return json(response, 403, { error: 'the state is for this machine alone; see the setting admin.remoteState' });
    }
    if (this.#dumping) return json(response, 429, { error: 'somebody else is reading the state: try again later' });
    response.writeHead(200, { 'Content-Type': 'application/x-ndjson', 'Cache-Control': 'no-store' });
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    response.flushHeaders();
    this.#dumping = true;
    try {
      await pipeline(Readable.from(linesOf(this.#options.state())), response);
    } catch (error) {
      // The reader may go when it likes; what it has is cut off, which it sees by the missing last line.
      this.#options.logger.debug({ err: error }, 'the state was not read to its end');
    } finally {
      this.#dumping = false;
    }
  }
}

/** Text in pieces, as a line each would cost a write each. Ends with a line that says that all is there. */
async function* linesOf(state: AsyncIterable<object> | Iterable<object>): AsyncGenerator<string> {
  let piece = '';
  let lines = 0;
  for await (const line of state) {
    piece += `${redactText(JSON.stringify(redact(line)))}\n`;
    lines++;
    if (piece.length < 64 * 1024) continue;
    yield piece;
    piece = '';
  }
  yield `${piece}${JSON.stringify({ kind: 'end', lines })}\n`;
}

/** From this machine, and asked for under a name that a web page elsewhere can't have made its own. */
function isFromHere({ socket, headers }: IncomingMessage): boolean {
  const address = socket.remoteAddress ?? '';
  if (!/^(::ffff:)?127\.|^::1$/.test(address)) return false;
  const name = (headers.host ?? '').replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  return name === 'localhost' || isIP(name) !== 0;
}

function json(response: ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  response.end(`${JSON.stringify(body)}\n`);
}

function text(response: ServerResponse, type: string, body: string): void {
  response.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'no-store' });
  response.end(body);
}
