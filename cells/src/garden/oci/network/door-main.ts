/**
 * Runs inside a container's network namespace, and in nothing else of the container: makes sockets there and hands them to the agent
 * that started it. It ends with that agent. See door.ts.
 */
import { Resolver } from 'node:dns/promises';
import { connect, createServer, isIP, type Server, type Socket } from 'node:net';

export type DoorRequest =
  | { id: number; op: 'connect'; host: string; port: number; hosts: string; resolvConf: string }
  | { id: number; op: 'listen'; host: string; port: number }
  | { id: number; op: 'close' };

export interface DoorAnswer {
  id: number;
  /** Why it did not come about. */
  error?: string;
  /** A connection that came in at listener `id`. */
  accepted?: boolean;
  host?: string;
  port?: number;
}

const CONNECT_MS = 20_000;
const listeners = new Map<number, Server>();

process.on('disconnect', () => process.exit(0));
process.on('message', (request: DoorRequest) => {
  serve(request).catch((error: unknown) => {
    tell({ id: request.id, error: error instanceof Error ? error.message : String(error) });
  });
});

async function serve(request: DoorRequest): Promise<void> {
  switch (request.op) {
    case 'connect': {
      const host = await addressOf(request.host, request.hosts, request.resolvConf);
      return tell({ id: request.id }, await connected(host, request.port));
    }
    case 'listen':
      return listen(request);
    case 'close':
      listeners.get(request.id)?.close();
      listeners.delete(request.id);
  }
}

/** The socket is handed over unread: what has come already must not stay behind here. */
function connected(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.pause();
    socket.setTimeout(CONNECT_MS, () => socket.destroy(new Error(`connect ETIMEDOUT ${host}:${port}`)));
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

async function listen({ id, host, port }: { id: number; host: string; port: number }): Promise<void> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: host === '' || host === 'localhost' ? '127.0.0.1' : host, port }, resolve);
  });
  server.on('error', () => server.close());
  server.on('connection', (socket) => {
    const { remoteAddress = '', remotePort = 0 } = socket;
    tell({ id, accepted: true, host: remoteAddress, port: remotePort }, socket);
  });
  listeners.set(id, server);
  const address = server.address();
  tell({ id, port: typeof address === 'object' && address !== null ? address.port : port });
}

/** Names as the container knows them: its hosts file first, then its name servers. */
async function addressOf(host: string, hosts: string, resolvConf: string): Promise<string> {
  if (isIP(host)) return host;
  for (const line of hosts.split('\n')) {
    const [address = '', ...names] = (line.split('#')[0] ?? '').trim().split(/\s+/);
    if (isIP(address) && names.includes(host)) return address;
  }
  if (host === 'localhost') return '127.0.0.1';
  const servers = [...resolvConf.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((found) => found[1] ?? '').filter(isIP);
  if (servers.length === 0) throw new Error(`getaddrinfo ENOTFOUND ${host}`);
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  resolver.setServers(servers);
  const [found] = await resolver.resolve4(host).catch(() => resolver.resolve6(host));
  if (found === undefined) throw new Error(`getaddrinfo ENOTFOUND ${host}`);
  return found;
}

function tell(answer: DoorAnswer, socket?: Socket): void {
  process.send?.(answer, socket, {}, () => {
    // The agent may have gone; then so do we.
  });
}
