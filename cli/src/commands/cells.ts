import { Cell } from '@rivera/gen/rivera/bbs/v1/cell';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import type { Io } from '../io.js';
import { renderPairs, renderTable } from '../terminal/table.js';
import { ageOf, formatTimestamp } from '../terminal/time.js';
import { withSuggestion } from './names.js';
import { cellState, coloured } from './states.js';

/** `rivera cells [show ID]`: the machines that run the work. */
export function addCells(program: Command, io: Io, outcome: Outcome): void {
  const cells = withConnection(program.command('cells').description('the machines that run the work')).option(
    '--zone <zone>',
    'only of this zone',
  );
  examples(
    cells,
    ['rivera cells', 'what there is and how full it is'],
    ['rivera cells show cell-1', 'everything about one'],
  );
  perform<{ zone?: string }>(cells, io, outcome, async (session, _, { zone = '' }) => {
    const { out, signal } = session;
    const client = await session.client();
    const rows: string[][] = [];
    for await (const cell of client.cells.list({ zone }, { signal })) {
      if (out.json) await out.line(Cell.toJSON(cell));
      else rows.push(row(cell));
    }
    if (out.json) return undefined;
    const right = (title: string) => ({ title, align: 'right' as const });
    const columns = [
      'id',
      'state',
      'zone',
      right('instances'),
      right('tasks'),
      right('memory'),
      right('disk'),
      'seen',
      'address',
    ];
    if (rows.length === 0) await out.note('No cells found.\n');
    else await out.data(renderTable(columns, rows));
    return undefined;

    function row(cell: Cell): string[] {
      const { presence } = cell;
      return [
        ...[presence?.cellId ?? '', coloured(cellState(cell.state), out.colours), presence?.zone ?? ''],
        ...[String(cell.lrpInstances), String(cell.tasks)],
        ...[`${presence?.capacity?.memoryMb ?? 0} MiB`, `${presence?.capacity?.diskMb ?? 0} MiB`],
        ...[ageOf(cell.lastSeenAt, io.now()), presence?.repAddress ?? ''],
      ];
    }
  });
  addShow(cells, io, outcome);
}

function addShow(cells: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(cells.command('show').argument('<id>').description('show one cell'));
  perform(command, io, outcome, async (session, [id = '']) => {
    const cell = await withSuggestion(session, 'cell', id, (client) => client.cells.get(id));
    if (session.out.json) await session.out.line(Cell.toJSON(cell));
    else await session.out.data(describeCell(cell, io.now()));
    return undefined;
  });
}

function describeCell(cell: Cell, nowMs: number): string {
  const { presence } = cell;
  const capacity = presence?.capacity;
  const rootFs = presence?.rootFsProviders.map(({ name, properties }) =>
    properties.length === 0 ? `${name}:*` : properties.map((property) => `${name}:${property}`).join(', '),
  );
  return renderPairs([
    ['id', presence?.cellId],
    ['state', cellState(cell.state)],
    ['zone', presence?.zone],
    ['since', cell.since && `${formatTimestamp(cell.since)} (${ageOf(cell.since, nowMs)} ago)`],
    ['seen', cell.lastSeenAt && `${ageOf(cell.lastSeenAt, nowMs)} ago`],
    ['address', presence?.repAddress],
    ['instances', String(cell.lrpInstances)],
    ['tasks', String(cell.tasks)],
    [
      'capacity',
      capacity && `${capacity.memoryMb} MiB memory, ${capacity.diskMb} MiB disk, ${capacity.containers} containers`,
    ],
    ['root filesystems', rootFs?.join(', ')],
    ['required tags', presence?.placementTags.join(', ')],
    ['optional tags', presence?.optionalPlacementTags.join(', ')],
    ['volume drivers', presence?.volumeDrivers.join(', ')],
  ]);
}
