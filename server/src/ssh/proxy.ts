import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from '@rivera/kit/log';
import ssh2, { type Connection } from 'ssh2';
import { SshAudit } from './audit.js';
import type { Login } from './authenticator.js';
import { plainAddress } from './client-address.js';
import { SshConnection, type SshConnectionParts } from './connection.js';
import type { HostKey } from './host-key.js';
import { hostAndPort } from './host-port.js';
import { takeProxyHeader } from './proxy-protocol.js';
import { Recordings } from './recordings.js';
import { Wire } from './wire.js';

export interface SshProxyParts
  extends Pick<SshConnectionParts, 'config' | 'authenticator' | 'metrics' | 'cellOf' | 'tell'> {
  readonly hostKey: HostKey;
  readonly log: Logger;
  /** Undefined: no record is kept. */
  readonly auditLog: Logger | undefined;
}

/** How often connections are looked at: whether they are idle or too slow to log in. */
const CHECK_MS = 1_000;

/** Key exchanges that are both modern and Node's own. */
const KEX = ['curve25519-sha256', 'curve25519-sha256@libssh.org', 'ecdh-sha2-nistp256', 'ecdh-sha2-nistp384'] as const;
const MACS = ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256'] as const;

/** Whoever came so lately may be about to log in. */
const FRESH_MS = 2_000;
/** So many times as many strangers as wanted are borne as long as all are that fresh. */
const CROWD_FACTOR = 8;

interface Guest {
  readonly socket: Socket;
  readonly sinceMs: number;
  connection: SshConnection | undefined;
}

/** The SSH port: takes connections, keeps their number within bounds, and ends what is idle or never logs in. */
export class SshProxy {
  readonly #net: Server;
  readonly #ssh: ssh2.Server;
  /** Oldest first: those before their login. */
  readonly #strangers = new Set<Guest>();
  readonly #guests = new Map<Socket, Guest>();
  readonly #users = new Map<string, number>();
  readonly #recordings: Recordings | undefined;
  #check: NodeJS.Timeout | undefined;
  #loggedIn = 0;

  constructor(private readonly parts: SshProxyParts) {
    const { config, hostKey, log } = parts;
    const { recordings: folder, recordingsMb } = config;
    if (folder !== '') {
      const maxBytes = recordingsMb * 1024 * 1024;
      this.#recordings = new Recordings({ folder, maxBytes, steadyNow: () => performance.now(), log });
    }
    this.#ssh = new ssh2.Server({
      hostKeys: [hostKey.privateKey],
      ident: 'rivera-ssh-proxy',
      keepaliveInterval: config.keepaliveInterval,
      keepaliveCountMax: 3,
      algorithms: { kex: [...KEX], cipher: [...config.ciphers], hmac: [...MACS], compress: ['none'] },
    } as ssh2.ServerConfig);
    this.#ssh.on('connection', (connection) => this.#greeted(connection));
    this.#net = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => void this.#arrived(socket));
  }

  /** @returns the port @throws Error of Node, such as EADDRINUSE */
  async listen(address: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#net.once('error', reject);
      this.#net.listen({ ...hostAndPort(address), backlog: 1_024 }, () => {
        this.#net.off('error', reject);
        resolve();
      });
    });
    this.#net.on('error', (error) => this.parts.log.error({ err: error }, 'the SSH port failed'));
    this.#check = setInterval(() => this.#lookAround(), CHECK_MS);
    this.#check.unref();
    const bound = this.#net.address();
    return typeof bound === 'object' && bound !== null ? bound.port : 0;
  }

  /** Ends every connection, politely first; nothing is open afterwards. */
  async close(): Promise<void> {
    clearInterval(this.#check);
    if (!this.#net.listening) return;
    const closed = new Promise<void>((resolve) => this.#net.close(() => resolve()));
    const connections: SshConnection[] = [];
    for (const { socket, connection } of this.#guests.values()) {
      if (!connection?.login) {
        socket.destroy();
        continue;
      }
      connections.push(connection);
      connection.end('the SSH proxy is stopping: log in again');
    }
    await closed;
    await Promise.all(connections.map((connection) => connection.finished()));
  }

  async #arrived(socket: Socket): Promise<void> {
    const { config, metrics } = this.parts;
    const guest: Guest = { socket, sinceMs: performance.now(), connection: undefined };
    socket.on('error', () => undefined);
    socket.once('close', () => this.#left(guest));
    this.#guests.set(socket, guest);
    this.#strangers.add(guest);
    this.#thinOut(performance.now());
    metrics.unauthenticated.set(this.#strangers.size);
    try {
      if (config.proxyProtocol) {
        const { address, port } = await takeProxyHeader(socket, config.handshakeTimeout);
        if (address !== undefined)
          Object.defineProperties(socket, { remoteAddress: { value: address }, remotePort: { value: port } });
      }
      if (!socket.destroyed) this.#ssh.injectSocket(socket);
    } catch (error) {
      this.parts.log.debug({ err: error }, 'a connection was dropped');
      socket.destroy();
    }
  }

  /**
   * Drops strangers where there are too many, the oldest first, and of a crowd that comes all at once first those that have said least:
   * whoever really logs in is through in a moment, whatever others hold open.
   */
  #thinOut(now: number): void {
    const { maxUnauthenticated } = this.parts.config;
    for (const stranger of this.#strangers) {
      if (this.#strangers.size <= maxUnauthenticated || now - stranger.sinceMs <= FRESH_MS) break;
      this.#drop(stranger);
    }
    while (this.#strangers.size > maxUnauthenticated * CROWD_FACTOR) {
      const [first, ...others] = this.#strangers;
      if (first) this.#drop(others.reduce((least, each) => (said(each) < said(least) ? each : least), first));
    }
  }

  #drop(stranger: Guest): void {
    this.#strangers.delete(stranger);
    this.parts.metrics.dropped.add(1);
    stranger.socket.destroy();
  }

  /** The client has said that it speaks SSH. */
  #greeted(connection: Connection): void {
    const socket = Wire.socketOf(connection);
    const guest = this.#guests.get(socket);
    if (!guest) return void socket.destroy();
    const { parts } = this;
    const address = plainAddress(socket.remoteAddress ?? '');
    guest.connection = new SshConnection(connection, {
      ...parts,
      recordings: this.#recordings,
      audit: new SshAudit(parts.auditLog, parts.log, Date.now),
      admit: (login) => this.#admit(guest, login),
      address,
      from: `${address}:${socket.remotePort}`,
    });
  }

  #admit(guest: Guest, { who }: Login): string | undefined {
    const { config, metrics } = this.parts;
    if (this.#loggedIn >= config.maxConnections) return 'too many connections';
    const own = this.#users.get(who) ?? 0;
    if (own >= config.maxConnectionsPerUser) return `too many connections of ${who}`;
    this.#users.set(who, own + 1);
    this.#loggedIn++;
    this.#strangers.delete(guest);
    metrics.connections.set(this.#loggedIn);
    metrics.unauthenticated.set(this.#strangers.size);
    return undefined;
  }

  #left(guest: Guest): void {
    const { metrics } = this.parts;
    this.#guests.delete(guest.socket);
    this.#strangers.delete(guest);
    const login = guest.connection?.login;
    guest.connection?.closed();
    if (login) {
      this.#loggedIn--;
      const own = (this.#users.get(login.who) ?? 1) - 1;
      if (own > 0) this.#users.set(login.who, own);
      else this.#users.delete(login.who);
    }
    metrics.connections.set(this.#loggedIn);
    metrics.unauthenticated.set(this.#strangers.size);
  }

  #lookAround(): void {
    const now = performance.now();
    for (const guest of this.#strangers) {
      if (now - guest.sinceMs <= this.parts.config.handshakeTimeout) break;
      this.#drop(guest);
    }
    this.#thinOut(now);
    for (const { connection } of this.#guests.values()) connection?.check(now);
  }
}

/** How far somebody has come on the way to a login: a key exchange is more than a greeting. */
function said({ socket, connection }: Guest): number {
  return connection ? socket.bytesRead : 0;
}
