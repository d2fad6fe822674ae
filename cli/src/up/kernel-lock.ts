import { createServer } from 'node:net';

/**
 * A lock by name: a listening socket in Linux's abstract namespace. The kernel grants it to one process and takes it back when that
 * process ends, however it ends, so no lock is ever stale.
 * @returns undefined when another process has it
 */
export async function takeKernelLock(name: string): Promise<{ release(): Promise<void> } | undefined> {
  const server = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(`\0${name}`, () => resolve());
    });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return undefined;
    throw error;
  }
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}
