import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FakeBlob, FakeImage } from './fake-image.js';

/** A registry for tests: a real HTTP server that notes what it is asked and can be told to misbehave. */
export class FakeRegistry {
  /** `PATH` of every request, with `(range)` when a part was wanted. */
  readonly asked: string[] = [];
  /** Answers instead of the registry when it returns true. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;
  readonly #answers = new Map<string, FakeBlob>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => this.#serve(request, response));
  }

  static async open(): Promise<FakeRegistry> {
    const registry = new FakeRegistry();
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve));
    return registry;
  }

  /** `HOST:PORT`. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Takes a manifest or index under a name and its digest. */
  put(repository: string, name: string, manifest: FakeBlob): void {
    for (const wanted of [name, manifest.digest]) this.#answers.set(`/v2/${repository}/manifests/${wanted}`, manifest);
  }

  /** Takes an image; resolves with how it is asked for. */
  push(repository: string, tag: string, image: FakeImage): string {
    this.put(repository, tag, image.manifest);
    for (const part of [image.config, ...image.layers])
      this.#answers.set(`/v2/${repository}/blobs/${part.digest}`, part);
    return `docker://${this.host}/${repository}:${tag}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { url = '', headers } = request;
    this.asked.push(headers.range === undefined ? url : `${url} (${headers.range})`);
    if (this.intercept(request, response)) return;
    const found = this.#answers.get(url);
    if (!found) {
      response.writeHead(404).end('{"errors":[{"code":"MANIFEST_UNKNOWN"}]}');
      return;
    }
    const { content, digest, mediaType } = found;
    const start = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? -1);
    const about = { 'content-type': mediaType, 'docker-content-digest': digest };
    if (start >= 0)
      response.writeHead(206, { ...about, 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` });
    else response.writeHead(200, about);
    response.end(start >= 0 ? content.subarray(start) : content);
  }
}
