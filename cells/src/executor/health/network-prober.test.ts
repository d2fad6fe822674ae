import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import type { Check } from '@rivera/gen/rivera/recipe/v1/action';
import { afterEach, expect, it } from 'vitest';
import { NetworkProber } from './network-prober.js';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

const http = (handler: RequestListener): Promise<number> => listen(createServer(handler));
const never = new AbortController().signal;

function probe(probed: NonNullable<Check['probe']>, timeoutMs = 1000): Promise<string | undefined> {
  const check = { probe: probed, interval: undefined, timeout: undefined, failureThreshold: 0 };
  return new NetworkProber().probe(check, { address: '127.0.0.1', timeoutMs }, never);
}
const tcp = (port: number): Promise<string | undefined> => probe({ $case: 'tcpCheck', value: { port } });
const get = (port: number, path = '', timeoutMs = 1000): Promise<string | undefined> =>
  probe({ $case: 'httpCheck', value: { port, path } }, timeoutMs);

async function closedPort(): Promise<number> {
  const port = await listen(createTcpServer());
  await new Promise((resolve) => servers.pop()?.close(resolve));
  return port;
}

it('TCP: a port that accepts is healthy, any other is not', async () => {
  expect(await tcp(await listen(createTcpServer((socket) => socket.end())))).toBeUndefined();
  const port = await closedPort();
  expect(await tcp(port)).toBe(`failed to make TCP connection to 127.0.0.1:${port}: connection refused`);
});

it('HTTP: 200 is healthy and nothing else', async () => {
  expect(await get(await http((_request, response) => response.end('ok')))).toBeUndefined();
  const port = await http((_request, response) => response.writeHead(204).end());
  expect(await get(port, '/health')).toMatch(
    new RegExp(`^failed to make HTTP request to '/health' on port ${port}: received status code 204 in \\d+ms$`),
  );
  const closed = await closedPort();
  expect(await get(closed)).toBe(`failed to make HTTP request to '/' on port ${closed}: connection refused`);
});

it('HTTP: shows who asks, and path and query as they were given', async () => {
  const seen: string[] = [];
  const port = await http((request, response) => {
    seen.push(
      `${request.method} ${request.url} ${request.headers['user-agent']} ${request.headers['x-forwarded-proto']}`,
    );
    response.end();
  });
  await get(port, '/up?deep=1');
  expect(seen).toEqual(['GET /up?deep=1 diego-healthcheck https']);
});

it('HTTP: an answer that does not come in time', async () => {
  const port = await http(() => {});
  expect(await get(port, '/', 100)).toBe(
    `failed to make HTTP request to '/' on port ${port}: timed out after 0.10 seconds`,
  );
});

it('HTTP: follows redirects in the container, and none that leave it', async () => {
  let asked = 0;
  const outside = createServer((_request, response) => {
    asked++;
    response.end();
  });
  servers.push(outside);
  await new Promise<void>((resolve) => outside.listen(0, '127.0.0.2', resolve));
  const port = await http((request, response) => {
    if (request.url === '/up') response.end();
    else if (request.url === '/in') response.writeHead(302, { location: `http://localhost:${port}/up` }).end();
    else response.writeHead(302, { location: `http://127.0.0.2:${(outside.address() as AddressInfo).port}/` }).end();
  });
  expect(await get(port, '/in')).toBeUndefined();
  expect(await get(port, '/out')).toContain('received status code 302');
  expect(asked).toBe(0);
});

it('ends at once when it is not needed any more', async () => {
  const port = await http(() => {});
  const controller = new AbortController();
  const check = {
    probe: { $case: 'httpCheck' as const, value: { port, path: '/' } },
    interval: undefined,
    timeout: undefined,
    failureThreshold: 0,
  };
  const probing = new NetworkProber().probe(check, { address: '127.0.0.1', timeoutMs: 60_000 }, controller.signal);
  controller.abort(new Error('enough'));
  await expect(probing).rejects.toThrow('enough');
});
