import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { startExample } from '@rivera/cli/up/example';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Block, blocksOf, exchangesOf, wordOf } from '../docs/markdown.js';
import { addressesIn, differenceOf } from '../docs/shape.js';
import { runScript, Shell, type ShellOptions } from '../docs/shell.js';
import { ROOT } from '../stack/program.js';
import { freePort, Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';

const SLOW_MS = 300_000;
const BLOCKS = blocksOf(readFileSync(join(ROOT, 'README.md'), 'utf8')).filter(
  (block) => block.words.includes('run') || wordOf(block, 'file') !== undefined,
);

const folder = mkdtempSync(join(tmpdir(), 'rivera-readme-'));
/** Stands for the checkout of the reader, who writes beside it. */
const checkout = join(folder, 'rivera');
let stack: Stack;
let shell: ShellOptions;

/** A platform with the example app, and a checkout in which `npm start` seems to have run. */
beforeAll(async () => {
  // As `rivera up` has it.
  const ssh = { listen: `127.0.0.1:${await freePort()}`, hostKey: join(folder, 'ssh_host_key') };
  stack = await Stack.start({ server: { roles: ['bbs', 'auction', 'access', 'locket', 'ssh'], ssh } });
  for (const each of ['bin', 'rivera/.rivera']) mkdirSync(join(folder, each), { recursive: true });
  for (const each of ['cli', 'proto', 'sdk']) symlinkSync(join(ROOT, each), join(checkout, each));
  symlinkSync(join(ROOT, 'cli/bin/rivera.mjs'), join(folder, 'bin/rivera'));
  symlinkSync(process.execPath, join(folder, 'bin/node'));
  // As at a user's shell, and with Debian's own python3, which has Debian's grpcio.
  const own = Object.entries(process.env).filter(([name]) => !/^(RIVERA_|VITEST|NODE_|npm_)/.test(name));
  const PATH = `${join(folder, 'bin')}:/usr/bin:/bin:/usr/sbin:/sbin:${process.env.PATH}`;
  shell = { cwd: checkout, env: { ...Object.fromEntries(own), PATH, NO_COLOR: '1' } };
  writeContext(await stack.cliEnvironment());
  const client = await stack.client();
  await until('a cell is there', async () => (await client.cells.get('cell-1')).lastSeenAt !== undefined);
  await startExample(client, AbortSignal.timeout(SLOW_MS));
}, SLOW_MS);
afterAll(async () => {
  await stack?.close();
  await rm(folder, { recursive: true, force: true });
}, SLOW_MS);

/** What `rivera up` leaves for clients in its data folder. */
function writeContext(env: NodeJS.ProcessEnv): void {
  const { RIVERA_SERVERS = '', RIVERA_CA, RIVERA_CERT, RIVERA_KEY } = env;
  const variables = Object.entries({ RIVERA_SERVERS, RIVERA_CA, RIVERA_CERT, RIVERA_KEY });
  const context = { servers: RIVERA_SERVERS.split(','), ca: RIVERA_CA, cert: RIVERA_CERT, key: RIVERA_KEY };
  writeFileSync(
    join(checkout, '.rivera/client.env'),
    variables.map(([name, value]) => `export ${name}='${value}'\n`).join(''),
  );
  writeFileSync(join(checkout, '.rivera/client.json'), JSON.stringify(context));
}

/** Folders of a machine that belong to others than this test. */
function within(text: string): string {
  return text.replaceAll('/etc/rivera', join(folder, 'etc')).replaceAll('/var/lib/rivera', join(folder, 'lib'));
}

async function play(block: Block): Promise<void> {
  const shellHere = new Shell(shell);
  const known = new Map<string, string>();
  try {
    for (const { command, shown } of exchangesOf(block.text)) {
      const typed = [...known].reduce((text, [there, here]) => text.replaceAll(there, here), command);
      const written = await shellHere.run(typed);
      expect(differenceOf(shown, written), `$ ${typed}`).toBeUndefined();
      for (const [there, here] of addressesIn(shown, [...written.stdout, ...written.stderr])) known.set(there, here);
    }
  } finally {
    await shellHere.end();
  }
}

describe('the README', () => {
  it('has blocks of every kind', () => {
    const kinds = new Set(BLOCKS.map(({ language }) => language));
    expect([...kinds].sort()).toEqual(['console', 'js', 'python', 'sh', 'yaml']);
  });

  // In order: what a block writes is there for those after it.
  it.each(BLOCKS.map((block) => ({ ...block, block })))(
    'shows in line $line ($language) what happens',
    async ({ block }) => {
      const file = wordOf(block, 'file');
      if (file !== undefined) {
        const path = resolve(checkout, within(file));
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, `${within(block.text)}\n`);
      } else if (block.language === 'console') await play(block);
      else await runScript(within(block.text), shell);
    },
    SLOW_MS,
  );
});
