import {
  type ActualLrpRow,
  actualLrpKey,
  type CellRow,
  type DesiredLrpRow,
  type DomainRow,
  type TaskRow,
} from '../core/model.js';
import type { ChangedKeys, Handover } from './handover.js';
import {
  type Journal,
  type JournalBatch,
  JournalError,
  type JournalPreview,
  type JournalRows,
  type KeyStatus,
  type Quarantined,
  type QuarantinedRow,
} from './journal.js';
import { assertStorable } from './storable.js';

/** Rows in one part of `load`. */
const PAGE_ROWS = 2_000;

/**
 * Where a memory journal's faults come from. Each may wait, which delays the journal, and throw, which is what the journal then
 * throws: a `JournalError` of the kind `unavailable` plays a database that can't be reached.
 */
export interface MemoryFaults {
  onOpen?: (epoch: number) => Promise<void> | void;
  /** Throwing here: nothing has been committed. */
  beforeCommit?: (batch: JournalBatch) => Promise<void> | void;
  /** Throwing here: committed, and the answer is lost. */
  afterCommit?: (batch: JournalBatch) => Promise<void> | void;
  /** Before each part of a load, and before payloads. */
  onRead?: () => Promise<void> | void;
}

/** What outlives the journals: the part that a database server plays for `MysqlJournal`. Several engines may share one. */
export class MemoryDatabase {
  epoch = 0;
  /** Counts openings: two of the same epoch are two writers as well. */
  opening = 0;
  revision = 0;
  readonly tasks = new Map<string, TaskRow>();
  readonly taskDefinitions = new Map<string, Uint8Array>();
  readonly desiredLrps = new Map<string, DesiredLrpRow>();
  readonly runInfos = new Map<string, Uint8Array>();
  readonly actualLrps = new Map<string, ActualLrpRow>();
  readonly domains = new Map<string, DomainRow>();
  readonly cells = new Map<string, CellRow>();
  handover: Handover | undefined;
  /** May be changed at any time. */
  faults: MemoryFaults = {};
}

/** The journal of tests, of the simulator and of a throw-away start: the same contract over maps. */
export class MemoryJournal implements Journal {
  private opening = 0;
  private revision = 0;
  private previous: Promise<unknown> = Promise.resolve();

  constructor(private readonly database: MemoryDatabase) {}

  async open(epoch: number): Promise<{ revision: number }> {
    await this.database.faults.onOpen?.(epoch);
    const { database } = this;
    if (epoch < database.epoch) throw fenced(`epoch ${database.epoch} has begun, which is higher than ${epoch}`);
    database.epoch = epoch;
    database.opening += 1;
    this.opening = database.opening;
    this.revision = database.revision;
    return { revision: database.revision };
  }

  async *load(): AsyncGenerator<JournalRows> {
    this.requireFreshTerm();
    yield* this.parts();
  }

  /** What a term begins with is read before its first commit, and by nobody else. */
  private requireFreshTerm(): void {
    const { database } = this;
    if (this.opening === 0) throw new JournalError('unavailable', 'the journal has not been opened');
    if (database.opening !== this.opening) throw fenced('another term has begun');
    if (database.revision !== this.revision) throw new Error('a term is read before its first commit');
  }

  async preview(): Promise<JournalPreview> {
    await this.database.faults.onRead?.();
    const { epoch, revision } = this.database;
    return { epoch, revision, rows: this.parts() };
  }

  async reread(keys: ChangedKeys): Promise<JournalRows> {
    const { database } = this;
    await database.faults.onRead?.();
    this.requireFreshTerm();
    return {
      tasks: those(database.tasks, keys.tasks),
      desiredLrps: those(database.desiredLrps, keys.desiredLrps),
      actualLrps: those(
        database.actualLrps,
        keys.actualLrps.map(([processGuid, index, generation]) => actualLrpKey({ processGuid, index, generation })),
      ),
      domains: those(database.domains, keys.domains),
      cells: those(database.cells, keys.cells),
    };
  }

  async readHandover(): Promise<Handover | undefined> {
    await this.database.faults.onRead?.();
    return this.database.handover;
  }

  async writeHandover(handover: Handover): Promise<void> {
    this.database.handover = handover;
  }

  /** Everything, taken at once: commits don't show in the parts that follow. */
  private parts(): AsyncGenerator<JournalRows> {
    return inParts(this.database, [...allPages(this.database)]);
  }

  commit(batch: JournalBatch): Promise<void> {
    // Taken now: a batch that was handed over before another opening belongs to the earlier one.
    const { opening } = this;
    const turn = this.previous.then(() => this.commitInTurn(batch, opening));
    this.previous = turn.catch(() => undefined);
    return turn;
  }

  readTaskDefinitions(guids: readonly string[]): Promise<Map<string, Uint8Array>> {
    return this.readPayloads(this.database.taskDefinitions, guids);
  }

  readRunInfos(processGuids: readonly string[]): Promise<Map<string, Uint8Array>> {
    return this.readPayloads(this.database.runInfos, processGuids);
  }

  /** Objects in memory are always readable. */
  quarantined(): Quarantined {
    return { rows: 0, processGuids: new Set() };
  }

  async quarantinedRows(): Promise<QuarantinedRow[]> {
    return [];
  }

  async encryptionStatus(): Promise<KeyStatus[]> {
    return [];
  }

  async close(): Promise<void> {
    await this.previous;
    this.opening = 0;
  }

  private async commitInTurn(batch: JournalBatch, opening: number): Promise<void> {
    if (opening === 0) throw new JournalError('unavailable', 'the journal has not been opened');
    const { database } = this;
    await database.faults.beforeCommit?.(batch);
    this.apply(batch, opening);
    await database.faults.afterCommit?.(batch);
  }

  /** Without a pause between the check and the writes. */
  private apply(batch: JournalBatch, opening: number): void {
    const { database } = this;
    const mine = database.epoch === batch.epoch && database.opening === opening;
    if (mine && database.revision === batch.revision) return;
    if (!mine || database.revision !== batch.baseRevision) {
      throw fenced(
        `the database is at revision ${database.revision} of epoch ${database.epoch}.${database.opening}, ` +
          `the batch builds on revision ${batch.baseRevision} of epoch ${batch.epoch}.${opening}`,
      );
    }
    assertStorable(batch);
    database.revision = batch.revision;
    merge(database.tasks, batch.tasks);
    merge(database.taskDefinitions, copies(batch.taskDefinitions));
    merge(database.desiredLrps, batch.desiredLrps);
    merge(database.runInfos, copies(batch.runInfos));
    for (const { row, deleted } of batch.actualLrps.values()) {
      if (deleted) database.actualLrps.delete(actualLrpKey(row));
      else database.actualLrps.set(actualLrpKey(row), row);
    }
    merge(database.domains, batch.domains);
    merge(database.cells, batch.cells);
  }

  private async readPayloads(stored: ReadonlyMap<string, Uint8Array>, keys: readonly string[]) {
    await this.database.faults.onRead?.();
    const found = new Map<string, Uint8Array>();
    for (const key of keys) {
      const payload = stored.get(key);
      if (payload !== undefined) found.set(key, payload.slice());
    }
    return found;
  }
}

function merge<Value>(into: Map<string, Value>, changes: Iterable<readonly [string, Value | null]>): void {
  for (const [key, value] of changes) {
    if (value === null) into.delete(key);
    else into.set(key, value);
  }
}

/** Bytes can be changed by who gave them; rows can't. */
function* copies(changes: ReadonlyMap<string, Uint8Array | null>): Generator<[string, Uint8Array | null]> {
  for (const [key, bytes] of changes) yield [key, bytes === null ? null : bytes.slice()];
}

function sorted<Row>(rows: Iterable<Row>, key: (row: Row) => readonly (string | number)[]): Row[] {
  return [...rows].sort((left, right) => compareKeys(key(left), key(right)));
}

function compareKeys(left: readonly (string | number)[], right: readonly (string | number)[]): number {
  for (const [position, part] of left.entries()) {
    const other = right[position] ?? '';
    if (part < other) return -1;
    if (part > other) return 1;
  }
  return 0;
}

function* pages<Row>(rows: Row[], wrap: (rows: Row[]) => JournalRows): Generator<JournalRows> {
  for (let start = 0; start < rows.length; start += PAGE_ROWS) yield wrap(rows.slice(start, start + PAGE_ROWS));
}

async function* inParts(database: MemoryDatabase, parts: readonly JournalRows[]): AsyncGenerator<JournalRows> {
  for (const part of parts) {
    await database.faults.onRead?.();
    yield part;
  }
}

function* allPages(database: MemoryDatabase): Generator<JournalRows> {
  yield* pages(
    sorted(database.domains.values(), (row) => [row.domain]),
    (domains) => ({ domains }),
  );
  yield* pages(
    sorted(database.cells.values(), (row) => [row.cellId]),
    (cells) => ({ cells }),
  );
  yield* pages(
    sorted(database.desiredLrps.values(), (row) => [row.processGuid]),
    (desiredLrps) => ({ desiredLrps }),
  );
  yield* pages(
    sorted(database.actualLrps.values(), (row) => [row.processGuid, row.index, row.generation]),
    (actualLrps) => ({
      actualLrps,
    }),
  );
  yield* pages(
    sorted(database.tasks.values(), (row) => [row.guid]),
    (tasks) => ({ tasks }),
  );
}

function those<Row>(rows: ReadonlyMap<string, Row>, keys: readonly string[]): Row[] {
  return keys.flatMap((key) => rows.get(key) ?? []);
}

function fenced(why: string): JournalError {
  return new JournalError('fenced', why);
}
