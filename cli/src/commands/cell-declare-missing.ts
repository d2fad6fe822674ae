import type { Cell } from '@rivera/gen/rivera/bbs/v1/cell';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { CliError, EXIT } from '../failures.js';
import type { Io } from '../io.js';
import { count } from '../terminal/text.js';
import { ageOf } from '../terminal/time.js';
import { confirmed } from './confirm.js';
import { withSuggestion } from './names.js';

/** `rivera cells declare-missing`: an operator knows that a silent cell is gone, and nothing is to wait for it. */
export function addDeclareMissing(cells: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    cells
      .command('declare-missing')
      .argument('<id>', 'of the cell')
      .description('confirm that a silent cell is gone: its work is placed elsewhere now'),
  ).option('-y, --yes', 'do not ask');
  examples(
    command,
    ['rivera cells declare-missing cell-2', 'asks first'],
    ['rivera cells declare-missing cell-2 --yes', 'for scripts'],
  );
  perform<{ yes?: boolean }>(command, io, outcome, async (session, [cellId = ''], { yes = false }) => {
    const { signal, out } = session;
    const cell = await withSuggestion(session, 'cell', cellId, (client) => client.cells.get(cellId, { signal }));
    if (!yes && !(await confirmed(session, consequences(cell, io.now())))) {
      throw new CliError(EXIT.failed, `${cellId} was left alone`);
    }
    const client = await session.client();
    await client.cells.declareMissing(cellId, { signal });
    if (!out.json) await out.note(`${cellId} is missing: its work is placed elsewhere\n`);
    return undefined;
  });
}

function consequences(cell: Cell, nowMs: number): string {
  const cellId = cell.presence?.cellId ?? '';
  const seen =
    cell.lastSeenAt === undefined ? 'has never been heard of' : `was heard of ${ageOf(cell.lastSeenAt, nowMs)} ago`;
  return [
    `${cellId} ${seen}. If it is declared missing, its ${count(cell.lrpInstances, 'instance')} start elsewhere at once and its`,
    `${count(cell.tasks, 'task')} fail. Should the machine be up all the same, its instances run twice until it is heard of again.`,
    `Is ${cellId} gone?`,
  ].join('\n');
}
