import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cellConfig } from '@rivera/cells/agent/config';
import { loadConfig } from '@rivera/kit/config';
import { loadIdentity } from '@rivera/kit/tls/identity';
import { InstanceIssuer } from '@rivera/kit/tls/instance-issuer';
import { serverConfig } from '@rivera/server/config';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolveConnection } from '../connection/context.js';
import { exampleLrp } from './example.js';
import { prepareIdentities, writeContext } from './identities.js';
import { type Layout, layoutOf } from './layout.js';
import { cellSettings, serverSettings, writeSettings } from './settings.js';

let folder: string;
let layout: Layout;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rivera-settings-'));
  layout = layoutOf(join(folder, "it's here"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const FACTS = { slot: 0, port: 1801, serverPort: 8889, machine: { memoryMb: 9_000, diskMb: 30_000 } };

describe('what rivera up writes', () => {
  it('is right in the eyes of the roles', async () => {
    const identities = await prepareIdentities(layout, ['cell-1', 'cell-2', 'cell-3']);
    const databaseUrl = 'mysql://root@localhost/rivera?socketPath=%2Fx';
    const server = writeSettings(
      layout,
      'server',
      serverSettings({ port: 8889, databaseUrl, identity: identities.server, sshPort: 2222, sshHostKey: '/k' }),
    );
    expect(loadConfig({ schema: serverConfig, file: server, env: {} })).toMatchObject({
      listen: '127.0.0.1:8889',
      database: { url: databaseUrl },
      ssh: { listen: '127.0.0.1:2222', hostKey: '/k' },
    });
    const [first] = [...identities.cells].map(([id, identity], index) => {
      const settings = cellSettings(layout, { ...FACTS, id, index, cells: 3, identity });
      return loadConfig({ schema: cellConfig, file: writeSettings(layout, id, settings), env: {} });
    });
    expect(first).toMatchObject({
      cellId: 'cell-1',
      servers: ['127.0.0.1:8889'],
      memoryMb: 3_000,
      diskMb: 10_000,
      stopContainersOnExit: true,
    });
    // The cell reads the authority, and would refuse the platform's own.
    const { executor, tls } = first as NonNullable<typeof first>;
    const platformCaPem = readFileSync(tls.ca, 'utf8');
    const issuer = await InstanceIssuer.open({ ...executor.instanceIdentity, platformCaPem });
    expect(readFileSync(join(executor.trustedCertificatesDir, 'instances.crt'), 'utf8')).toBe(issuer.caPem);
    expect(statSync(server).mode & 0o777).toBe(0o600);
  });

  it('lets a lone cell find out itself what the machine has', async () => {
    const { cells } = await prepareIdentities(layout, ['cell-1']);
    const identity = cells.get('cell-1');
    if (identity === undefined) throw new Error('no identity');
    const settings = cellSettings(layout, { ...FACTS, id: 'cell-1', index: 0, cells: 1, identity });
    const file = writeSettings(layout, 'cell-1', settings);
    expect(loadConfig({ schema: cellConfig, file, env: {} })).toMatchObject({ memoryMb: 'auto', diskMb: 'auto' });
  });

  it('gives everybody a certificate for their role, the same at every start', async () => {
    const before = await prepareIdentities(layout, ['cell-1']);
    const names = [before.server, before.client, before.cells.get('cell-1')].map(async (files) => {
      const { role, name } = await loadIdentity(files as NonNullable<typeof files>);
      return `${role} ${name}`;
    });
    expect(await Promise.all(names)).toEqual(['server server', 'client admin', 'cell cell-1']);
    const certificate = readFileSync(before.client.cert, 'utf8');
    const after = await prepareIdentities(layout, ['cell-1']);
    expect(readFileSync(after.client.cert, 'utf8')).toBe(certificate);
    expect(statSync(after.client.key).mode & 0o777).toBe(0o600);
  });

  it('leads the client commands, and other programs, to the server', async () => {
    const { client } = await prepareIdentities(layout, []);
    const context = writeContext(layout, '127.0.0.1:8889', client);
    expect(resolveConnection({ context: layout.root }, { env: {}, cwd: '/', home: '/' })).toEqual(context);
    const script = `. "$0"; printf '%s\\n' "$RIVERA_SERVERS" "$RIVERA_CERT"`;
    const sourced = execFileSync('sh', ['-c', script, join(layout.root, 'client.env')], { encoding: 'utf8' });
    expect(sourced).toBe(`127.0.0.1:8889\n${client.cert}\n`);
  });

  it('has an example that says which instance answers', () => {
    const lrp = exampleLrp();
    expect(lrp).toMatchObject({ processGuid: 'hello', domain: 'example', instances: 1, ports: [8080] });
    expect(lrp.container).toMatchObject({ rootFs: 'preloaded:busybox', logGuid: 'hello' });
    expect(JSON.stringify(lrp.action)).toMatch(/INSTANCE_INDEX[\s\S]*INSTANCE_GUID[\s\S]*CF_INSTANCE_PORT/);
  });
});
