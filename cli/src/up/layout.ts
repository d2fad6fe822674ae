import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** What lies where in a data folder. */
export interface Layout {
  root: string;
  /** Certificate authority and identities. */
  tls: string;
  /** Authority of containers' certificates. */
  instanceTls: string;
  /** Certificates that containers may trust. */
  trusted: string;
  /** Of MariaDB. */
  database: string;
  /** Root filesystems, shared by all cells. */
  rootFs: string;
  logs: string;
  /** Which processes run. */
  run: string;
  /** Settings of the roles; written anew at each start. */
  config: string;
  /** Addresses and ports, kept from start to start. */
  places: string;
  /** Host key of SSH. */
  sshHostKey: string;
  cell(id: string): string;
}

/** Makes the folders, for their owner alone. */
export function layoutOf(dataDir: string): Layout {
  const root = resolve(dataDir);
  const at = (name: string) => join(root, name);
  const layout: Layout = {
    root,
    tls: at('tls'),
    instanceTls: at('instance-tls'),
    trusted: at('trusted-certificates'),
    database: at('db'),
    rootFs: at('rootfs'),
    logs: at('log'),
    run: at('run'),
    config: at('config'),
    places: at('places.json'),
    sshHostKey: at('tls/ssh_host_ed25519_key'),
    cell: (id) => join(root, 'cells', id),
  };
  for (const folder of [
    root,
    layout.tls,
    layout.instanceTls,
    layout.trusted,
    layout.rootFs,
    layout.logs,
    layout.run,
    layout.config,
  ]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }
  return layout;
}
