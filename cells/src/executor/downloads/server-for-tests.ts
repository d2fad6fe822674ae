import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a test's server got. */
export interface SeenRequest {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  body: Buffer;
}

/** A real HTTP server that notes what it is asked. */
export class TestServer {
  readonly seen: SeenRequest[] = [];
  answer: (request: SeenRequest, response: ServerResponse) => void = (_request, response) =>
    response.writeHead(404).end();
  readonly #server: Server;
  #url = '';

  private constructor() {
    this.#server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const seen = {
        method: request.method ?? '',
        url: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(chunks),
      };
      this.seen.push(seen);
      this.answer(seen, response);
    });
  }

  static async open(): Promise<TestServer> {
    const server = new TestServer();
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    server.#url = `http://127.0.0.1:${(server.#server.address() as AddressInfo).port}`;
    return server;
  }

  get url(): string {
    return this.#url;
  }

  /** Serves a file with an ETag that changes with `version`, and honours conditional requests. */
  serve(content: () => { body: Buffer; etag?: string }): void {
    this.answer = (request, response) => {
      const { body, etag } = content();
      if (etag !== undefined) response.setHeader('etag', etag);
      if (etag !== undefined && request.headers['if-none-match'] === etag) response.writeHead(304).end();
      else response.end(body);
    };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
