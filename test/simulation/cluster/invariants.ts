import { actualLrpToProto, cellToProto, desiredLrpToProto, taskToProto } from '@rivera/server/bbs/api/to-proto';
import { checkDue, checkIndexes, checkRows, rowsOf } from '@rivera/server/bbs/core/invariants-testing';
import {
  type ActualLrpRow,
  type CellRow,
  type DesiredLrpRow,
  isShown,
  type TaskRow,
} from '@rivera/server/bbs/core/model';
import type { Engine } from '@rivera/server/bbs/engine/engine';
import type { MemoryDatabase } from '@rivera/server/bbs/journal/memory-journal';
import { actualItem, cellItem, desiredItem, type Item, taskItem } from '../records.js';
import type { Cluster } from './cluster.js';

/** What must hold after every step, whatever the step was. @returns the first thing that does not */
export function brokenInvariant(cluster: Cluster, options: { readonly dueIsExact: boolean }): string | undefined {
  return cluster.promises.broken() ?? overload(cluster) ?? memoryFault(cluster, options) ?? watcherFault(cluster);
}

/** A cell never holds more than it has. */
function overload({ cells }: Cluster): string | undefined {
  for (const { cellId, machine } of cells) {
    const held = machine.held();
    const { total } = machine.options;
    for (const what of ['memoryMb', 'diskMb', 'containers'] as const) {
      if (held[what] > total[what]) return `${cellId} holds ${held[what]} of ${total[what]} ${what}`;
      if (machine.ledger.available[what] !== total[what] - held[what]) {
        return `${cellId} counts ${machine.ledger.available[what]} ${what} as free, of ${total[what]} it holds ${held[what]}`;
      }
    }
  }
  return undefined;
}

/** Memory equals the database whenever nothing waits, and is whole in itself always. */
function memoryFault(cluster: Cluster, { dueIsExact }: { dueIsExact: boolean }): string | undefined {
  const { term, database, cells } = cluster;
  if (term === undefined) return undefined;
  const { engine } = term;
  try {
    checkIndexes(
      engine.state,
      cells.map(({ cellId }) => cellId),
    );
    checkRows(engine.state);
    if (dueIsExact) checkDue(engine.state, engine.now());
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  if (!isQuiet(engine, database.rows)) return undefined;
  return difference(rowsOf(engine.state), storedRows(database.rows));
}

/** Nothing waits for the database, and no answer of it is under way. */
function isQuiet(engine: Engine, rows: MemoryDatabase): boolean {
  return engine.backlogRows === 0 && engine.durableRevision === rows.revision;
}

function storedRows(rows: MemoryDatabase): Map<string, unknown> {
  const stored = new Map<string, unknown>();
  for (const [key, row] of rows.tasks) stored.set(`task/${key}`, row);
  for (const [key, row] of rows.desiredLrps) stored.set(`desired-lrp/${key}`, row);
  for (const [key, row] of rows.actualLrps) stored.set(`actual-lrp/${key}`, row);
  for (const [key, row] of rows.domains) stored.set(`domain/${key}`, row);
  for (const [key, row] of rows.cells) stored.set(`cell/${key}`, row);
  return stored;
}

/** Rows are immutable and go from memory to the memory journal as they are, so equal rows are the same object. */
function difference(memory: ReadonlyMap<string, unknown>, stored: ReadonlyMap<string, unknown>): string | undefined {
  for (const [key, row] of memory) {
    if (stored.get(key) !== row) {
      return `memory has another ${key} than the database: ${JSON.stringify(row)} and ${JSON.stringify(stored.get(key))}`;
    }
  }
  if (memory.size === stored.size) return undefined;
  const more = [...stored.keys()].find((key) => !memory.has(key));
  return `the database has ${more}, memory does not`;
}

/** Events replayed over a snapshot equal what there is, at every revision that both have seen. */
function watcherFault({ watcher, database }: Cluster): string | undefined {
  const { rows } = database;
  if (watcher.revision !== rows.revision) return undefined;
  let records = 0;
  for (const { key, text } of itemsOf(rows)) {
    records++;
    const seen = watcher.seen.get(key);
    if (seen !== text) return `at revision ${rows.revision} a watcher has ${key} as ${seen}, the database as ${text}`;
  }
  if (records === watcher.seen.size) return undefined;
  return `at revision ${rows.revision} a watcher has ${watcher.seen.size} records, the database ${records}`;
}

function* itemsOf(rows: MemoryDatabase): Generator<Item> {
  for (const row of rows.tasks.values()) yield itemOf(row, () => taskItem(taskToProto(row)));
  for (const row of rows.desiredLrps.values()) yield itemOf(row, () => desiredItem(desiredLrpToProto(row)));
  for (const row of rows.actualLrps.values()) {
    if (isShown(row)) yield itemOf(row, () => actualItem(actualLrpToProto(row)));
  }
  const facts = { lastSeenMs: 0, lrpInstances: 0, tasks: 0 };
  for (const row of rows.cells.values()) yield itemOf(row, () => cellItem(cellToProto(row, facts)));
}

/** Most rows are the same from step to step. */
const items = new WeakMap<object, Item>();

function itemOf(row: TaskRow | DesiredLrpRow | ActualLrpRow | CellRow, make: () => Item): Item {
  const known = items.get(row);
  if (known !== undefined) return known;
  const item = make();
  items.set(row, item);
  return item;
}
