import { createServer, type Server, type Socket } from 'node:net';
import type { ConnectionInjector } from '@grpc/grpc-js';
import type { Logger } from '../log.js';

/** Accepts connections for a gRPC server, and no more than it can bear: grpc-js alone has no bound for them. */
export class Listener {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(injector: ConnectionInjector, maxConnections: number, logger: Logger) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      injector.injectConnection(socket);
    });
    this.#server.maxConnections = maxConnections;
    this.#server.on('drop', (data) => {
      logger.warn({ remoteAddress: data?.remoteAddress, maxConnections }, 'too many connections: one was closed');
    });
  }

  /**
   * Listens on "host:port" or "[v6 address]:port"; port 0 is any free one.
   * @throws Error of Node, such as EADDRINUSE, or one that says what an address looks like.
   */
  listen(address: string): Promise<number> {
    const { host, port } = parseAddress(address);
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject);
        const bound = this.#server.address();
        resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
      });
    });
  }

  /** Accepts no more; what is connected stays. */
  stop(): void {
    if (this.#server.listening) this.#server.close();
  }

  /** Breaks off what is still connected, handshakes that never ended included. */
  destroy(): void {
    this.stop();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Splits "host:port". */
export function parseAddress(address: string): { host: string; port: number } {
  const [, v6, name, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address) ?? [];
  const host = v6 ?? name;
  const port = Number(digits);
  if (host === undefined || !(port <= 65_535)) {
    throw new Error(`"${address}" is no address to listen on: it takes a host and a port, as in "127.0.0.1:8889"`);
  }
  return { host, port };
}
