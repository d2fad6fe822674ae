import { LedgerEntry } from '@rivera/gen/rivera/auction/v1/auction_service';
import { Cell, type CellCapacity } from '@rivera/gen/rivera/bbs/v1/cell';
import { Container } from '@rivera/gen/rivera/rep/v1/container';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { isAnswer } from '../describe.js';
import type { Io } from '../io.js';
import type { Session } from '../session.js';
import { renderPairs, renderTable } from '../terminal/table.js';
import { ageOf, formatTimestamp } from '../terminal/time.js';
import { containerTable } from './cell-containers.js';
import { addDeclareMissing } from './cell-declare-missing.js';
import { addEvacuate } from './cell-evacuate.js';
import { withSuggestion } from './names.js';
import { cellState, coloured } from './states.js';

/** `rivera cells …`: the machines that run the work. */
export function addCells(program: Command, io: Io, outcome: Outcome): void {
  const cells = withConnection(program.command('cells').description('the machines that run the work')).option(
    '--zone <zone>',
    'only of this zone',
  );
  examples(
    cells,
    ['rivera cells', 'what there is and how full it is'],
    ['rivera cells show cell-1', 'everything about one'],
    ['rivera cells show cell-1 --containers', 'and what runs on it, as the cell itself says'],
    ['rivera cells evacuate cell-1', 'empty it before work on the machine'],
  );
  perform<{ zone?: string }>(cells, io, outcome, async (session, _, { zone = '' }) => {
    const { out, signal } = session;
    const client = await session.client();
    const cells: Cell[] = [];
    for await (const cell of client.cells.list({ zone }, { signal })) cells.push(cell);
    const ledger = await readLedger(session);
    const rows: string[][] = [];
    for (const cell of cells) {
      const entry = ledger.get(cell.presence?.cellId ?? '');
      if (out.json) await out.line(toJson(cell, entry));
      else rows.push(row(cell, entry));
    }
    if (out.json) return undefined;
    const right = (title: string) => ({ title, align: 'right' as const });
    const columns = [
      'id',
      'state',
      'zone',
      right('instances'),
      right('tasks'),
      right('containers'),
      right('memory'),
      right('disk'),
      'seen',
      'address',
    ];
    if (rows.length === 0) await out.note('No cells found.\n');
    else await out.data(renderTable(columns, rows));
    return undefined;

    function row(cell: Cell, entry: LedgerEntry | undefined): string[] {
      const { presence } = cell;
      const { containers, memoryMb, diskMb } = fullness(cell, entry);
      return [
        ...[presence?.cellId ?? '', coloured(cellState(cell.state), out.colours), presence?.zone ?? ''],
        ...[String(cell.lrpInstances), String(cell.tasks)],
        ...[containers, `${memoryMb} MiB`, `${diskMb} MiB`],
        ...[ageOf(cell.lastSeenAt, io.now()), presence?.repAddress ?? ''],
      ];
    }
  });
  addShow(cells, io, outcome);
  addEvacuate(cells, io, outcome);
  addDeclareMissing(cells, io, outcome);
}

function addShow(cells: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    cells.command('show').argument('<id>', 'of the cell').description('show one cell'),
  ).option('--containers', 'ask the cell what containers it has, and what they use');
  perform<{ containers?: boolean }>(command, io, outcome, async (session, [id = ''], options) => {
    const cell = await withSuggestion(session, 'cell', id, (client) => client.cells.get(id));
    const entry = (await readLedger(session)).get(id);
    const containers = options.containers ? await readContainers(session, id) : undefined;
    const { out } = session;
    if (out.json) {
      const held = containers && { containers: containers.map((container) => Container.toJSON(container)) };
      await out.line({ ...toJson(cell, entry), ...held });
      return undefined;
    }
    await out.data(describeCell(cell, entry, io.now()));
    if (containers) await out.data(`\n${containerTable(containers, io.now())}`);
    return undefined;
  });
}

function describeCell(cell: Cell, entry: LedgerEntry | undefined, nowMs: number): string {
  const { presence } = cell;
  const { containers, memoryMb, diskMb } = fullness(cell, entry);
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
    ['containers', containers],
    ['memory', `${memoryMb} MiB`],
    ['disk', `${diskMb} MiB`],
    ['avoided', entry?.avoidedUntil && `until ${formatTimestamp(entry.avoidedUntil)}, as it kept failing work`],
    ['root filesystems', rootFs?.join(', ')],
    ['required tags', presence?.placementTags.join(', ')],
    ['optional tags', presence?.optionalPlacementTags.join(', ')],
    ['volume drivers', presence?.volumeDrivers.join(', ')],
  ]);
}

async function readContainers(session: Session, cellId: string): Promise<Container[]> {
  const { signal } = session;
  const client = await session.client();
  const containers: Container[] = [];
  for await (const container of client.cells.containers(cellId, { signal })) containers.push(container);
  return containers;
}

/** The ledger is an extra: it is not worth a long wait. */
const LEDGER_PATIENCE_MS = 2_000;

/** What the auctioneer knows of each cell; empty when it can't be asked, as while none leads. */
async function readLedger(session: Session): Promise<Map<string, LedgerEntry>> {
  const { signal, settings } = session;
  const deadlineMs = Math.min(settings.timeout ?? LEDGER_PATIENCE_MS, LEDGER_PATIENCE_MS);
  const client = await session.client();
  const ledger = new Map<string, LedgerEntry>();
  try {
    const entries = client.auction.ledger({}, { signal, deadlineMs });
    for await (const entry of entries) ledger.set(entry.cellId, entry);
  } catch (error) {
    if (!isAnswer(error) || signal.aborted) throw error;
  }
  return ledger;
}

/** `used/total` of each resource as the auctioneer counts it; without its word, the total alone. */
function fullness({ presence }: Cell, entry: LedgerEntry | undefined): Record<keyof Fullness, string> {
  const total = entry?.total ?? presence?.capacity;
  const available = entry?.available;
  const of = (name: keyof Fullness) => {
    const all = total?.[name] ?? 0;
    return available === undefined ? `${all}` : `${all - available[name]}/${all}`;
  };
  return { containers: of('containers'), memoryMb: of('memoryMb'), diskMb: of('diskMb') };
}

type Fullness = Pick<CellCapacity, 'containers' | 'memoryMb' | 'diskMb'>;

function toJson(cell: Cell, entry: LedgerEntry | undefined): object {
  return { ...(Cell.toJSON(cell) as object), ...(entry && { ledger: LedgerEntry.toJSON(entry) }) };
}
