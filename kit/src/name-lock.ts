import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:net';

/**
 * Something of this machine that one program may have at a time. The lock is a name in the kernel's abstract socket space: taking it is
 * atomic, and it is gone the moment its holder is, however it ended, so no stale lock can keep anybody from anything.
 */
export class NameLock {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @returns undefined when somebody has it */
  static async take(kind: string, name: string): Promise<NameLock | undefined> {
    const server = createServer((socket) => socket.destroy());
    const taken = await new Promise<boolean>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE') resolve(false);
        else reject(error);
      });
      // Names of sockets are short.
      const hash = createHash('sha256').update(name).digest('hex').slice(0, 32);
      server.listen(`\0rivera-${kind}-${hash}`, () => resolve(true));
    });
    if (!taken) return undefined;
    server.unref();
    return new NameLock(server);
  }

  release(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}
