import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withOutput } from '../command-line.js';
import { EXIT } from '../failures.js';
import type { Io } from '../io.js';
import { parseCount } from '../recipe/quantities.js';
import type { Session } from '../session.js';
import { requireDataFolder } from '../up/data-folder.js';
import { MOST_CELLS } from '../up/places.js';
import type { Running } from '../up/up.js';
import { VERSION } from '../version.js';

interface Options {
  cells: number;
  data?: string;
  databaseUrl?: string;
  example: boolean;
}

/** `rivera up`: everything on this machine. */
export function addUp(program: Command, io: Io, outcome: Outcome): void {
  const command = withOutput(program.command('up').description('run everything on this machine, until Ctrl-C'))
    .option('--cells <n>', 'how many cells', parseCount('--cells', 1, MOST_CELLS), 1)
    .option('--data <dir>', 'data folder (default ~/.rivera)')
    .option(
      '--database-url <url>',
      'a database that exists: mysql://… (RIVERA_DATABASE_URL; default: a private MariaDB)',
    )
    .option('--no-example', 'do not run the example app');
  examples(
    command,
    ['rivera up', 'server, database, one cell and an example app'],
    ['rivera up --cells 3 --data /srv/rivera', 'three cells; data elsewhere'],
  );
  command.addHelpText(
    'after',
    '\nCtrl-C stops everything in order, a second one at once. The next start finds everything as it was.\nLogs are in DATA/log. DATA/client.env holds the addresses and certificates for other programs.',
  );
  perform<Options>(command, io, outcome, runUp);
}

async function runUp(session: Session, _: readonly string[], options: Options): Promise<number> {
  const { io, out } = session;
  const dataDir = resolve(io.cwd, options.data ?? join(io.home, '.rivera'));
  requireDataFolder(dataDir);
  const { requireMachine } = await import('../up/machine.js');
  const { Up } = await import('../up/up.js');
  const { Steps } = await import('../up/steps.js');
  const databaseUrl = options.databaseUrl ?? (io.env.RIVERA_DATABASE_URL || undefined);
  if (!out.json) await out.note(`rivera ${VERSION}, data in ${dataDir}\n\n`);
  await requireMachine(dataDir);
  const up = new Up(
    { dataDir, cells: options.cells, databaseUrl, example: options.example, env: io.env },
    new Steps(out),
  );
  try {
    const running = await up.start(session.signal);
    await showReady(session, running);
    await untilAborted(session.signal);
    return EXIT.ok;
  } catch (error) {
    if (session.signal.aborted) return io.interrupts.exitCode ?? EXIT.interrupted;
    throw error;
  } finally {
    const tells = up.runsSomething && !out.json;
    if (tells)
      await out.note(out.watched ? '\r\u001b[K\nStopping. Ctrl-C again ends it at once.\n\n' : '\nStopping.\n\n');
    await up.stop(io.interrupts.forced);
    if (tells) await out.note('\nStopped. The next start finds everything as it was.\n');
  }
}

async function showReady({ out, io }: Session, { layout, server, example }: Running): Promise<void> {
  const url = example?.kind === 'answers' ? example.url : undefined;
  if (out.json) return out.line({ event: 'ready', server, data: layout.root, url });
  const command = commandName(io);
  const rows: [string, string][] = [
    ...(url === undefined ? [] : [[`curl ${url}`, 'the example app'] as [string, string]]),
    [`${command} lrp list`, 'what is up'],
    ...(url === undefined
      ? []
      : ([
          [`${command} lrp scale hello 3`, 'three of it'],
          [`${command} logs hello -f`, 'what it writes'],
          [`${command} exec -it hello`, 'a shell in its container'],
        ] as [string, string][])),
    [`${command} task run -- echo hi`, 'a command that runs once'],
    [`${command} --help`, 'everything else'],
  ];
  const width = Math.max(...rows.map(([line]) => line.length));
  const { bold, dim } = out.noteColours;
  const ready = url === undefined ? 'Rivera runs.' : `Rivera runs, and ${bold(url)} answers.`;
  await out.note(`\n${ready} In another terminal:\n\n`);
  await out.note(rows.map(([line, meaning]) => `  ${line.padEnd(width)}   ${dim(meaning)}\n`).join(''));
  await out.note(`\nLogs are in ${join(layout.root, 'log')}. Ctrl-C stops everything.\n`);
}

/** How the user can type our name. npx only where it finds us: else it would look for a package of that name elsewhere. */
function commandName({ env, cwd }: Io): string {
  if (env.npm_lifecycle_event === undefined) return 'rivera';
  return existsSync(join(cwd, 'node_modules/.bin/rivera')) ? 'npx rivera' : 'npm run -s rivera --';
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
