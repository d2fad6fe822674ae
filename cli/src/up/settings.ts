import { statfsSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import type { IdentityFiles } from '@rivera/kit/tls/identity';
import { stringify } from 'yaml';
import type { Layout } from './layout.js';
import { cellNetwork } from './places.js';

/** What the server needs to know. */
export interface ServerFacts {
  port: number;
  databaseUrl: string;
  sshPort: number;
  /** File of SSH's host key; made at the first start. */
  sshHostKey: string;
  identity: IdentityFiles;
}

/** Settings of the server; see `rivera config server`. */
export function serverSettings({ port, databaseUrl, identity, sshPort, sshHostKey }: ServerFacts): object {
  return {
    listen: `127.0.0.1:${port}`,
    database: { url: databaseUrl },
    tls: tlsSettings(identity),
    roles: ['bbs', 'auction', 'access', 'locket', 'ssh'],
    ssh: { listen: `127.0.0.1:${sshPort}`, hostKey: sshHostKey },
    // One server beside its database: what it waits for after a crash is its own old lease.
    bbs: { leaseTtl: '4s' },
  };
}

/** What a cell needs to know. */
export interface CellFacts {
  id: string;
  /** 0-based. */
  index: number;
  /** How many there are on this machine. */
  cells: number;
  slot: number;
  port: number;
  serverPort: number;
  identity: IdentityFiles;
  machine: Machine;
}

/** What the cells of this machine share, in MiB. */
export interface Machine {
  memoryMb: number;
  diskMb: number;
}

/** Settings of a cell; see `rivera config cell`. Several cells share the machine; one has all of it. */
export function cellSettings(layout: Layout, facts: CellFacts): object {
  const { id, index, cells, slot, port, serverPort, identity, machine } = facts;
  const share = (whole: number) => Math.max(1, Math.floor(whole / cells));
  return {
    cellId: id,
    cellIndex: index,
    servers: [`127.0.0.1:${serverPort}`],
    listen: `127.0.0.1:${port}`,
    dataDir: layout.cell(id),
    rootFsDir: layout.rootFs,
    ...cellNetwork(slot, index, cells),
    ...(cells === 1 ? {} : { memoryMb: share(machine.memoryMb), diskMb: share(machine.diskMb) }),
    tls: tlsSettings(identity),
    executor: {
      instanceIdentity: { ca: join(layout.instanceTls, 'ca.crt'), key: join(layout.instanceTls, 'ca.key') },
      trustedCertificatesDir: layout.trusted,
    },
    // Ctrl-C leaves nothing running. A cell that is killed leaves its containers to the next one.
    stopContainersOnExit: true,
  };
}

function tlsSettings({ ca, cert, key }: IdentityFiles): object {
  return { ca, cert, key };
}

/** Writes settings where a role reads them; the database's password may be among them. */
export function writeSettings(layout: Layout, name: string, settings: object): string {
  const file = join(layout.config, `${name}.yaml`);
  writeFileSync(file, `# Written by rivera up at each start; changes are lost.\n${stringify(settings)}`, {
    mode: 0o600,
  });
  return file;
}

/** What this machine has for its cells. */
export function thisMachine(dataDir: string): Machine {
  const disk = statfsSync(dataDir);
  const mb = 1024 * 1024;
  return { memoryMb: Math.floor(totalmem() / mb), diskMb: Math.floor((disk.bavail * disk.bsize) / mb) };
}
