import { chmodSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { Authority } from '@rivera/kit/tls/authority';
import type { IdentityFiles } from '@rivera/kit/tls/identity';
import { CONTEXT_FILE, type ConnectionContext } from '../connection/context.js';
import type { Layout } from './layout.js';

/** Certificates of everybody that `rivera up` starts, and of the person who types commands. */
export interface Identities {
  server: IdentityFiles;
  client: IdentityFiles;
  cells: Map<string, IdentityFiles>;
}

const HOSTS = ['localhost', '127.0.0.1', '::1'];

/** Makes what is missing or about to run out; keeps the rest. */
export async function prepareIdentities(layout: Layout, cellIds: readonly string[]): Promise<Identities> {
  const authority = await Authority.open(layout.tls);
  await prepareInstanceAuthority(layout);
  const cells = new Map<string, IdentityFiles>();
  for (const id of cellIds)
    cells.set(id, await authority.writeIdentity(layout.tls, { role: 'cell', name: id, hosts: HOSTS }));
  return {
    server: await authority.writeIdentity(layout.tls, { role: 'server', name: 'server', hosts: HOSTS }),
    client: await authority.writeIdentity(layout.tls, { role: 'client', name: 'admin' }),
    cells,
  };
}

/**
 * Containers get certificates of an authority of their own: with the platform's, a container could be a server. They may trust
 * each other's, where a definition asks for the trusted certificates.
 */
async function prepareInstanceAuthority(layout: Layout): Promise<void> {
  const { caPem } = await Authority.open(layout.instanceTls, { name: 'Rivera instance authority' });
  // Any user of a container reads them.
  chmodSync(layout.trusted, 0o755);
  writeFileSync(join(layout.trusted, 'instances.crt'), caPem, { mode: 0o644 });
}

/**
 * Lets `rivera` commands find what runs here, and other programs too: `client.json` for ours, `client.env` for a shell to source.
 */
export function writeContext(layout: Layout, server: string, client: IdentityFiles): ConnectionContext {
  const context: ConnectionContext = { servers: [server], ca: client.ca, cert: client.cert, key: client.key };
  const within = (path: string) => relative(layout.root, path);
  const portable = { ...context, ca: within(client.ca), cert: within(client.cert), key: within(client.key) };
  writeFileSync(join(layout.root, CONTEXT_FILE), `${JSON.stringify(portable, null, 2)}\n`, { mode: 0o600 });
  const variables = { RIVERA_SERVERS: server, RIVERA_CA: client.ca, RIVERA_CERT: client.cert, RIVERA_KEY: client.key };
  const lines = Object.entries(variables).map(
    ([name, value]) => `export ${name}='${value.replaceAll("'", "'\\''")}'\n`,
  );
  writeFileSync(join(layout.root, 'client.env'), lines.join(''), { mode: 0o600 });
  return context;
}
