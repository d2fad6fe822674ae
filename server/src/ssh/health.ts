import { createServer } from 'node:http';
import { hostAndPort } from './host-port.js';

/** Answers GET / with 200 and nothing while it is open, for a balancer (spec access §3.2). */
export async function listenForHealth(address: string): Promise<() => Promise<void>> {
  const server = createServer(
    { headersTimeout: 5_000, requestTimeout: 5_000, maxHeaderSize: 8 * 1024 },
    (request, response) => {
      response.statusCode = request.url === '/' && request.method === 'GET' ? 200 : 404;
      response.end();
    },
  );
  server.maxConnections = 64;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(hostAndPort(address), () => {
      server.off('error', reject);
      resolve();
    });
  });
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
}
