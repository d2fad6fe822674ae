import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { connect, type RiveraClient } from '@rivera/sdk/client';
import { PrivateMariaDb } from '@rivera/server/database/private-mariadb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { blocksOf, wordOf } from '../docs/markdown.js';
import { runScript } from '../docs/shell.js';
import { newStackFolder, sweepLeftovers } from '../stack/leftovers.js';
import { Program, RIVERA, ROOT } from '../stack/program.js';
import { freePort } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { task } from '../stack/work.js';

const run = promisify(execFile);
const README = blocksOf(readFileSync(join(ROOT, 'README.md'), 'utf8'));

let folder: string;
let mariadb: PrivateMariaDb;
let client: RiveraClient;
const servers: Program[] = [];
const cells: Program[] = [];

/** The README's folders of a machine are in the test's folder instead. */
const within = (text: string) =>
  text.replaceAll('/etc/rivera', join(folder, 'etc')).replaceAll('/var/lib/rivera', join(folder, 'lib'));

function settingsIn(name: string): Record<string, unknown> {
  const block = README.find((each) => wordOf(each, 'file') === `/etc/rivera/${name}.yaml`);
  if (block === undefined) throw new Error(`the README shows no ${name}.yaml`);
  return parse(within(block.text));
}

/** What the README says, with the certificates and settings it shows; only what is taken on this machine differs. */
beforeAll(async () => {
  await sweepLeftovers();
  folder = newStackFolder();
  const certificates = README.find(({ language, text }) => language === 'sh' && text.includes('rivera cert issue'));
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  symlinkSync(join(ROOT, 'cli/bin/rivera.mjs'), join(bin, 'rivera'));
  const env = { ...process.env, PATH: `${bin}:${dirname(process.execPath)}:${process.env.PATH}` };
  await runScript(within(certificates?.text ?? 'false'), { cwd: folder, env });
  mariadb = await PrivateMariaDb.start({ folder: join(folder, 'db'), durable: false });
  await run(process.execPath, [RIVERA, 'rootfs', 'build', 'busybox', '--dir', join(folder, 'lib/rootfs')]);
  const addresses = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const server = settingsIn('server-1');
  for (const [i, listen] of addresses.entries()) {
    const name = `server-${i + 1}`;
    const tls = {
      ...(server.tls as object),
      cert: join(folder, `etc/tls/${name}.crt`),
      key: join(folder, `etc/tls/${name}.key`),
    };
    const here = { name, listen, advertise: listen, servers: addresses, database: { url: mariadb.url }, tls };
    servers.push(new Program(name, 'server', folder, { ...server, ...here }));
  }
  const listen = `127.0.0.1:${await freePort()}`;
  const places = { subnet: '10.249.77.0/24', bridge: 'rvp249', stopContainersOnExit: true };
  const here = { servers: addresses, listen, advertise: listen, hostAddress: '127.0.0.1', ...places };
  cells.push(new Program('cell-a', 'cell', folder, { ...settingsIn('cell-a'), ...here }));
  for (const program of [...servers, ...cells]) program.start();
  const tls = join(folder, 'etc/tls');
  const files = { caFile: join(tls, 'ca.crt'), certFile: join(tls, 'ops.crt'), keyFile: join(tls, 'ops.key') };
  client = connect({ servers: addresses, tls: files });
}, 120_000);
afterAll(async () => {
  client?.close();
  for (const program of [...cells, ...servers]) await program.stop(30_000);
  await mariadb?.stop();
  await rm(folder, { recursive: true, force: true });
}, 120_000);

describe('a platform that is set up as the README says', () => {
  it.each(['server', 'cell'])('has settings for a %s that are right as they stand', async (role) => {
    const file = join(folder, 'checked', `${role}.yaml`);
    mkdirSync(dirname(file), { recursive: true });
    const name = role === 'server' ? 'server-1' : 'cell-a';
    const block = README.find((each) => wordOf(each, 'file') === `/etc/rivera/${name}.yaml`);
    writeFileSync(file, block?.text ?? '');
    const { stderr } = await run(process.execPath, [RIVERA, role, '--config', file, '--check']);
    expect(stderr).toContain('is right');
  });

  it('trusts the certificates, and runs work on the cell', async () => {
    await until('the cell is there', async () => (await client.cells.get('cell-a')).lastSeenAt !== undefined);
    await client.tasks.desire({
      taskGuid: 'first',
      domain: 'docs',
      definition: task('echo -n ok > /tmp/r', { resultFile: '/tmp/r' }),
    });
    expect(await client.tasks.waitForCompletion('first', { timeoutMs: 60_000 })).toMatchObject({
      result: 'ok',
      cellId: '',
    });
  }, 120_000);

  it('goes on with the other server when the active one is gone', async () => {
    const active = servers.find((server) => server.log().includes('"msg":"leading"'));
    await active?.kill();
    const desired = () =>
      client.tasks.desire({ taskGuid: 'second', domain: 'docs', definition: task('true') }).then(() => true);
    await until('the other one acts', desired);
    expect(await client.tasks.waitForCompletion('second', { timeoutMs: 60_000 })).toMatchObject({ failed: false });
  }, 120_000);
});
