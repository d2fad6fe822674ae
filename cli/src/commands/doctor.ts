import { resolve } from 'node:path';
import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { findDataFolder } from '../connection/context.js';
import { describeFailure } from '../describe.js';
import { CliError, EXIT } from '../failures.js';
import type { Io } from '../io.js';
import type { Session } from '../session.js';
import { withAddresses } from '../silence.js';
import { renderTable } from '../terminal/table.js';
import { count } from '../terminal/text.js';
import { DATA_FOLDER_RULE, isUsableDataFolder } from '../up/data-folder.js';

/** One thing that was looked at. */
export interface Finding {
  name: string;
  /** `optional`: it is not there, and work is possible without. */
  verdict: 'ok' | 'missing' | 'optional';
  found: string;
  /** What helps; empty when all is well. */
  remedy: string;
}

/** `rivera doctor`: what this machine has and lacks, and whether the servers answer. */
export function addDoctor(program: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    program.command('doctor').description('what this machine has and lacks, and whether the servers answer'),
  ).option('--data <dir>', 'data folder to look at (default ./.rivera, then ~/.rivera)');
  examples(command, ['rivera doctor', 'with a remedy for what is missing']);
  command.addHelpText(
    'after',
    '\nExit code 0 when this machine can run cells and the servers, if any are known, answer; else 1.',
  );
  perform<{ data?: string; context?: string }>(command, io, outcome, async (session, _, { data, context }) => {
    const dataDir = data === undefined ? findDataFolder(context, io) : resolve(io.cwd, data);
    const findings = [
      ...(await machineFindings(dataDir)),
      dataFolderFinding(dataDir),
      ...(await serverFindings(session)),
    ];
    if (session.out.json) for (const finding of findings) await session.out.line(finding);
    else await show(session, findings);
    return findings.some(({ verdict }) => verdict === 'missing') ? EXIT.failed : EXIT.ok;
  });
}

async function machineFindings(dataDir: string): Promise<Finding[]> {
  const { probeMachine } = await import('@rivera/cells/machine/machine');
  const probes = await probeMachine({ dataDir });
  return probes.map(({ name, ok, optional, found, needed, remedy }): Finding => {
    if (ok) return { name, verdict: 'ok', found, remedy: '' };
    return { name, verdict: optional ? 'optional' : 'missing', found: `${found}; needed: ${needed}`, remedy };
  });
}

/** Whether cells can live there; a folder that is not there yet will be made. */
function dataFolderFinding(dataDir: string): Finding {
  if (isUsableDataFolder(dataDir)) return { name: 'data folder', verdict: 'ok', found: dataDir, remedy: '' };
  return {
    name: 'data folder',
    verdict: 'missing',
    found: `${dataDir}; needed: a path of ${DATA_FOLDER_RULE}`,
    remedy: 'choose another data folder:  rivera up --data DIR',
  };
}

/** Whether the servers answer, and have cells. That no server is known is fine: none may have been started yet. */
export async function serverFindings(session: Session): Promise<Finding[]> {
  let servers: string;
  try {
    servers = session.connection().servers.join(', ');
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return [{ name: 'server', verdict: 'optional', found: error.message, remedy: error.next[0] ?? '' }];
  }
  try {
    const client = await session.client();
    const started = performance.now();
    let present = 0;
    let all = 0;
    for await (const cell of client.cells.list({}, { signal: session.signal })) {
      all++;
      if (cell.state === CellState.PRESENT) present++;
    }
    const took = Math.round(performance.now() - started);
    return [
      { name: 'server', verdict: 'ok', found: `${servers} answers in ${took} ms`, remedy: '' },
      {
        name: 'cells',
        verdict: present > 0 ? 'ok' : 'missing',
        found: `${present} of ${count(all, 'cell')} present`,
        remedy: present > 0 ? '' : 'Start one:  rivera cell --config FILE',
      },
    ];
  } catch (error) {
    const { message, next } = describeFailure(withAddresses(error, [servers]));
    const found = message.includes(servers) ? message : `${servers}: ${message}`;
    return [{ name: 'server', verdict: 'missing', found, remedy: next[0] ?? '' }];
  }
}

async function show({ out }: Session, findings: readonly Finding[]): Promise<void> {
  const { green, red, dim } = out.colours;
  const marks = { ok: green('ok'), missing: red('missing'), optional: dim('-') };
  const rows = findings.map(({ name, verdict, found }) => [name, marks[verdict], found]);
  await out.data(renderTable(['', '', 'found'], rows));
  const remedies = new Set(findings.map(({ remedy }) => remedy).filter((remedy) => remedy !== ''));
  if (remedies.size > 0) await out.data(`\nWhat helps:\n${[...remedies].map((remedy) => `  ${remedy}\n`).join('')}`);
}
