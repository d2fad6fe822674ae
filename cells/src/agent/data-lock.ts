import { createHash } from 'node:crypto';
import { mkdir, realpath } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';

/**
 * Keeps two agents off one data folder. The lock is a name in the kernel's abstract socket space: taking it is atomic, and it
 * is gone the moment its holder is, however it ended, so no stale lock can keep a cell from starting.
 */
export class DataLock {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws Error when another agent has it */
  static async take(dataDir: string): Promise<DataLock> {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    const folder = await realpath(dataDir);
    const name = `\0rivera-cell-${createHash('sha256').update(folder).digest('hex').slice(0, 32)}`;
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => {
        const taken = cause.code === 'EADDRINUSE';
        reject(taken ? new Error(`another cell agent is using the data folder ${folder}`, { cause }) : cause);
      });
      server.listen(name, resolve);
    });
    server.unref();
    return new DataLock(server);
  }

  release(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}
