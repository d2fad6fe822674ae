import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { Argument, type Command } from 'commander';
import { examples, type Outcome, perform, withOutput } from '../command-line.js';
import { findDataFolder, type Surroundings } from '../connection/context.js';
import { localError } from '../failures.js';
import type { Io } from '../io.js';
import type { Session } from '../session.js';
import { Steps } from '../up/steps.js';

const KINDS = ['busybox', 'debian'] as const;
type Kind = (typeof KINDS)[number];

interface Options {
  dir?: string;
  suite: string;
}

/** `rivera rootfs build|list`: root filesystems that containers ask for as `preloaded:NAME`. */
export function addRootFs(program: Command, io: Io, outcome: Outcome): void {
  const rootFs = program.command('rootfs').description('root filesystems of this machine, for preloaded:NAME');
  const build = withDir(rootFs.command('build'))
    .addArgument(new Argument('<kind>', 'what to build').choices(KINDS))
    .description('build one, or leave it when it is as it should be')
    .option('--suite <name>', 'of Debian', 'bookworm');
  examples(
    build,
    ['rivera rootfs build debian', 'Debian by debootstrap, for preloaded:debian; takes a minute or two'],
    ['rivera rootfs build busybox --dir /srv/cell/rootfs', 'the small one, elsewhere'],
  );
  build.addHelpText('after', '\nCells look at the folder when they start.');
  perform<Options>(build, io, outcome, async (session, [kind], options) => {
    await buildRootFs(session, kind as Kind, options);
    return undefined;
  });
  const list = withDir(rootFs.command('list')).description('what there is');
  perform<Options>(list, io, outcome, async ({ io, out }, _, options) => {
    const folder = folderOf(options, io);
    const names = namesIn(folder);
    if (names.length === 0 && !out.json) await out.note(`No root filesystems found in ${folder}.\n`);
    for (const name of names) {
      if (out.json) await out.line({ name, rootFs: `preloaded:${name}` });
      else await out.data(`preloaded:${name}\n`);
    }
    return undefined;
  });
}

function withDir(command: Command): Command {
  return withOutput(command).option(
    '--dir <dir>',
    'folder of root filesystems (default: rootfs in the data folder, ./.rivera, then ~/.rivera)',
  );
}

function folderOf({ dir }: Options, around: Surroundings): string {
  return resolve(around.cwd, dir ?? join(findDataFolder(undefined, around), 'rootfs'));
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map((entry) => entry.name)
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

async function buildRootFs({ io, out }: Session, kind: Kind, options: Options): Promise<void> {
  const dir = join(folderOf(options, io), kind);
  const steps = new Steps(out);
  await requireTool(kind);
  const done = ({ built }: { built: boolean }) => `${dir}${built ? '' : ' is as it should be'}`;
  switch (kind) {
    case 'busybox': {
      const { buildBusyboxRootFs } = await import('@rivera/cells/garden/rootfs/busybox');
      await steps.run('preloaded:busybox', () => buildBusyboxRootFs(dir), done);
      return;
    }
    case 'debian': {
      const { buildDebianRootFs } = await import('@rivera/cells/garden/rootfs/debian');
      await steps.run('preloaded:debian', () => buildDebianRootFs(dir, options.suite), done);
      return;
    }
  }
}

/** The builders need root and a Debian package each. */
async function requireTool(kind: Kind): Promise<void> {
  if (process.getuid?.() !== 0)
    throw localError('a root filesystem has files of root', ['Run it as root:  sudo rivera …']);
  const [program, packageName] = kind === 'debian' ? ['debootstrap', 'debootstrap'] : ['busybox', 'busybox-static'];
  try {
    await promisify(execFile)('which', [program as string]);
  } catch (cause) {
    throw localError(`${program} is not installed`, [`Install it:  apt-get install ${packageName}`], cause);
  }
}
