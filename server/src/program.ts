import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { AccessServiceService } from '@rivera/gen/rivera/access/v1/access_service';
import { LocketServiceService } from '@rivera/gen/rivera/locket/v1/locket_service';
import { SshServiceService } from '@rivera/gen/rivera/ssh/v1/ssh_service';
import { systemClock } from '@rivera/kit/clock';
import { GrpcHost } from '@rivera/kit/grpc/host';
import type { Logger } from '@rivera/kit/log';
import { type Identity, loadIdentity } from '@rivera/kit/tls/identity';
import { connect, type RiveraClient } from '@rivera/sdk/client';
import { accessService } from './access/access-service.js';
import { CellClients } from './access/cell-clients.js';
import { Directory } from './access/directory.js';
import { LogReader } from './access/logs.js';
import { ServerAdmin } from './admin/server-admin.js';
import { AuctionRole } from './auction/auction-role.js';
import { BbsRole } from './bbs/bbs-role.js';
import { MysqlJournal } from './bbs/journal/mysql-journal.js';
import type { ServerConfig } from './config.js';
import { openDetailCodec } from './database/encryption-config.js';
import { migrate } from './database/migrations.js';
import type { Database } from './database/pool.js';
import { Candidate } from './locket/election.js';
import { AUCTIONEER_LEASE_KEY, BBS_LEASE_KEY } from './locket/keys.js';
import type { LeaseStore } from './locket/lease-store.js';
import { LOCKET_ACCESS, LocketService } from './locket/locket-service.js';
import { MysqlLeaseStore } from './locket/mysql-lease-store.js';
import { SshRole } from './ssh/ssh-role.js';
import { SSH_ACCESS } from './ssh/ssh-service.js';

export { type ServerConfig, serverConfig } from './config.js';

/** A server that runs. */
export interface RunningServer {
  /** host:port that it is reached at. */
  readonly address: string;
  /** host:port of metrics, health and state; undefined: there is none. */
  readonly adminAddress: string | undefined;
  /** Whether it is the active BBS at the moment. */
  leading(): boolean;
  /** Hands over, ends all calls, lets go of the database. */
  close(): Promise<void>;
}

const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/** What is to be closed, last opened first. */
type Closers = (() => Promise<void> | void)[];

/** Runs the roles that the configuration names. @throws when the database or the identity is not usable */
export async function runServer(config: ServerConfig, log: Logger): Promise<RunningServer> {
  const closers: Closers = [];
  const close = async () => {
    let failure: unknown;
    for (let step = closers.pop(); step !== undefined; step = closers.pop()) {
      try {
        await step();
      } catch (error) {
        failure ??= error;
        log.error({ err: error }, 'a part of the server did not end well');
      }
    }
    if (failure !== undefined) throw failure;
  };
  try {
    const identity = await loadIdentity(config.tls);
    const admin = new ServerAdmin(config, log);
    closers.push(() => admin.close());
    await admin.listen();
    const database = admin.openDatabase('state', { url: config.database.url });
    closers.push(() => database.close());
    const migrated = await migrate(database);
    if (migrated.from !== migrated.to) log.info(migrated, 'database migrated');
    const leases = openLeases(config, admin, closers);
    const { observers } = admin;
    const host = new GrpcHost({ identity, logger: log, maxMessageBytes: MAX_MESSAGE_BYTES, observers });
    const listen = await withPort(config.listen);
    const address = config.advertise || reachable(listen);
    const servers = config.servers.length > 0 ? config.servers : [address];
    const roles = new Set(config.roles);
    const candidates: { readonly lease: string; readonly candidate: Candidate }[] = [];
    const candidate = (key: string) => {
      const { name, bbs } = config;
      const stands = new Candidate({ store: leases, key, name, address, ttlMs: bbs.leaseTtl, clock: systemClock, log });
      candidates.push({ lease: key, candidate: stands });
      closers.push(() => stands.close());
      return stands;
    };
    let bbs: BbsRole | undefined;
    if (roles.has('bbs')) {
      const journal = new MysqlJournal(database, {
        codec: await openDetailCodec(config.encryption),
        log: log.child({ role: 'bbs', part: 'journal' }),
      });
      await journal.requireKeys();
      const role = new BbsRole({
        config: config.bbs,
        candidate: candidate(BBS_LEASE_KEY),
        journal,
        host,
        clock: systemClock,
        log: log.child({ role: 'bbs' }),
        callbackTls: identity,
        observer: admin.bbs,
      });
      bbs = role;
      closers.push(() => role.close());
    }
    let auction: AuctionRole | undefined;
    if (roles.has('auction')) {
      const role = new AuctionRole({
        config: config.auction,
        identity,
        host,
        lease: candidate(AUCTIONEER_LEASE_KEY),
        advertiseAddress: address,
        bbsAddresses: servers,
        log: log.child({ role: 'auction' }),
        onResults: (results) => admin.auction.take(results),
      });
      auction = role;
      role.start();
      closers.push(() => role.close());
    }
    if (roles.has('locket')) addLocket(host, leases);
    const tellsOfSsh = config.ssh.hostKey !== '' && config.ssh.advertise !== '';
    if (roles.has('access') || roles.has('ssh')) {
      const way = openWay(identity, servers, closers);
      if (roles.has('access')) addAccess(host, way);
      if (roles.has('ssh') || tellsOfSsh) await addSsh(host, way, { config, address, database, admin, log, closers });
    }
    await host.listen(listen);
    closers.push(() => host.close());
    for (const { candidate: stands } of candidates) stands.start();
    admin.show({ address, database, bbs, auction, leases: candidates });
    closers.push(() => admin.closes());
    // First of all, while everything still serves: who follows reads the state, and leads at once when this one stops.
    closers.push(async () => {
      if (servers.length > 1) await bbs?.handOver();
      await bbs?.close();
      await candidates.find(({ lease }) => lease === BBS_LEASE_KEY)?.candidate.close();
    });
    log.info({ address, roles: config.roles }, 'server listens');
    return { address, adminAddress: admin.address, leading: () => bbs?.leading === true, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Renewals must not queue behind bulk writes, nor hang as long as those may. */
function openLeases(config: ServerConfig, admin: ServerAdmin, closers: Closers): LeaseStore {
  const { url } = config.database;
  const queryTimeoutMs = Math.floor(config.bbs.leaseTtl / 4);
  const database = admin.openDatabase('leases', { url, connections: 4, queryTimeoutMs });
  closers.push(() => database.close());
  return new MysqlLeaseStore(database);
}

function addLocket(host: GrpcHost, leases: LeaseStore): void {
  host.add(LocketServiceService, new LocketService(leases, systemClock), LOCKET_ACCESS);
}

/** What leads to containers. */
interface Way {
  readonly client: RiveraClient;
  readonly cells: CellClients;
  readonly directory: Directory;
}

function openWay(identity: Identity, servers: readonly string[], closers: Closers): Way {
  const { caPem: ca, certPem: cert, keyPem: key } = identity;
  const client = connect({ servers, tls: { ca, cert, key } });
  const cells = new CellClients(identity);
  closers.push(() => {
    cells.close();
    client.close();
  });
  return { client, cells, directory: new Directory(client) };
}

function addAccess(host: GrpcHost, { directory, cells }: Way): void {
  host.add(AccessServiceService, accessService(directory, cells, new LogReader(directory, cells)), {
    default: ['client', 'server'],
    methods: { readLogs: ['client', 'reader', 'server'], listCellContainers: ['client', 'reader', 'server'] },
  });
}

async function addSsh(
  host: GrpcHost,
  way: Way,
  o: { config: ServerConfig; address: string; database: Database; admin: ServerAdmin; log: Logger; closers: Closers },
): Promise<void> {
  const { config, database, admin, log } = o;
  const parts = { ...way, config: config.ssh, database, metrics: admin.ssh, auditLog: admin.auditLog };
  const role = new SshRole({ ...parts, log: log.child({ role: 'ssh' }) });
  o.closers.push(() => role.close());
  // Without the role it only answers for proxies elsewhere: people ask the servers that they know.
  const service = config.roles.includes('ssh') ? await role.start(o.address) : role.service(config.ssh.advertise);
  host.add(SshServiceService, service, SSH_ACCESS);
}

/** host:port with a free port in place of 0: the address must be known before anybody listens, as leases carry it. */
async function withPort(listen: string): Promise<string> {
  if (!listen.endsWith(':0')) return listen;
  const host = listen.slice(0, -2);
  const port = await new Promise<number>((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, host, () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
  return `${host}:${port}`;
}

/** An address that others can use, where the one listened on means "all of this machine's". */
function reachable(listen: string): string {
  const separator = listen.lastIndexOf(':');
  const host = listen.slice(0, separator);
  if (host !== '0.0.0.0' && host !== '[::]' && host !== '') return listen;
  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find((address) => address.family === 'IPv4' && !address.internal);
  return `${outside?.address ?? '127.0.0.1'}${listen.slice(separator)}`;
}
