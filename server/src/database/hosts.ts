import { connect, type Socket } from 'node:net';

/** A server of the database, e.g. one node of a cluster. */
export interface DatabaseHost {
  readonly host: string;
  readonly port: number;
}

/** What the driver hands to whoever opens its sockets; a copy of its own for each connection. */
interface ConnectionSettings {
  config: { host?: string | undefined; port?: number | undefined };
}

const DEFAULT_PORT = 3306;

/**
 * The servers of one database and which of them is in use: all connections go to that one, until it is reported as failed; then to
 * the next, round and round. Nothing goes back by itself to one that works again, as every move costs what is under way.
 */
export class DatabaseHosts {
  private position = 0;
  private readonly sockets = new Map<Socket, DatabaseHost>();
  private readonly hostOfConfig = new WeakMap<object, DatabaseHost>();

  constructor(private readonly hosts: readonly DatabaseHost[]) {
    if (hosts.length === 0) throw new RangeError('a database has at least one host');
  }

  get count(): number {
    return this.hosts.length;
  }

  get current(): DatabaseHost {
    return this.hosts[this.position] as DatabaseHost;
  }

  /** Whether there is a connection to the host in use. */
  get connected(): boolean {
    return [...this.sockets.values()].includes(this.current);
  }

  /** For the driver: a socket to the host in use. */
  readonly open = (settings: ConnectionSettings): Socket => {
    const { current } = this;
    // The driver reads the name to check against a certificate from here.
    settings.config.host = current.host;
    settings.config.port = current.port;
    this.hostOfConfig.set(settings.config, current);
    const socket = connect({ ...current, noDelay: true, keepAlive: true });
    this.sockets.set(socket, current);
    socket.once('close', () => this.sockets.delete(socket));
    return socket;
  };

  /** Where the connection with these settings goes. */
  of(config: object): DatabaseHost | undefined {
    return this.hostOfConfig.get(config);
  }

  /**
   * Moves on to the next host, unless somebody has done so already. Everything that is under way on the failed one ends at once with
   * an error of the class `transient`, as nobody should wait for it.
   */
  failed(host: DatabaseHost): void {
    if (this.count === 1 || host !== this.current) return;
    this.position = (this.position + 1) % this.count;
    for (const [socket, to] of this.sockets) if (to === host) socket.destroy(new HostFailedError(host));
  }
}

/** Ends what is under way on a host that is no longer trusted. Outcome unknown. */
export class HostFailedError extends Error {
  readonly code = 'HOST_FAILED';

  constructor(host: DatabaseHost) {
    super(`the database server ${host.host}:${host.port} has failed: another one is asked from now on`);
    this.name = 'HostFailedError';
  }
}

/**
 * Takes the hosts out of `mysql://user:password@one:3306,two:3306/database`, which is not a URL by itself, and leaves the URL of the
 * first. @throws Error for what names no host and port
 */
export function splitHosts(text: string): { url: string; hosts: DatabaseHost[] } {
  const [, scheme = '', authority = '', rest = ''] = /^([a-z]+:\/\/)([^/?#]*)(.*)$/s.exec(text) ?? [];
  const end = authority.lastIndexOf('@') + 1;
  const names = authority.slice(end).split(',');
  const hosts = names.map(hostOf);
  return { url: names.length === 1 ? text : `${scheme}${authority.slice(0, end)}${names[0]}${rest}`, hosts };
}

function hostOf(name: string): DatabaseHost {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(name) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) throw new Error(`the database URL names a host that can't be read: "${name}"`);
  return { host, port: port === undefined ? DEFAULT_PORT : Number(port) };
}
