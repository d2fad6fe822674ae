import { chmod, lstat, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
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
   * Listens on "host:port" or "[v6 address]:port", where port 0 is any free one, or on the socket "unix:/PATH", which is for its
   * owner alone and has port 0.
   * @throws Error of Node, such as EADDRINUSE, or one that says what an address looks like.
   */
  async listen(address: string): Promise<number> {
    const path = socketPathOf(address);
    if (path !== undefined) {
      await dropDeadSocket(path);
      await this.#listenOn({ path });
      await chmod(path, 0o600);
      return 0;
    }
    const { host, port } = parseAddress(address);
    await this.#listenOn({ host, port });
    const bound = this.#server.address();
    return typeof bound === 'object' && bound !== null ? bound.port : port;
  }

  #listenOn(where: { path: string } | { host: string; port: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(where, () => {
        this.#server.off('error', reject);
        resolve();
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

/** Path of "unix:/PATH"; undefined for another address. */
export function socketPathOf(address: string): string | undefined {
  return address.startsWith('unix:/') ? address.slice('unix:'.length) : undefined;
}

/** Takes away the socket of a program that was killed: nobody answers there. */
async function dropDeadSocket(path: string): Promise<void> {
  const code = await new Promise<string | undefined>((resolve) => {
    const socket = connect({ path }, () => resolve(undefined));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    socket.once('close', () => socket.destroy());
    socket.once('connect', () => socket.destroy());
  });
  if (code === 'ECONNREFUSED' && !(await lstat(path)).isSocket()) return;
  // Anything else than a socket, and a living one, is left for listen() to complain of.
  if (code === 'ECONNREFUSED') await unlink(path);
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
