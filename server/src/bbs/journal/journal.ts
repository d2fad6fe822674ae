import type { ActualLrpRow, CellRow, DesiredLrpRow, DomainRow, TaskRow } from '../core/model.js';
import type { ChangedKeys, Handover } from './handover.js';

/**
 * Where the BBS's state is durable. Exactly one engine writes at a time: it opens a term with the epoch of its lease, and from
 * then on every commit under a lower epoch fails as a whole. Every implementation passes the suite in `contract.ts`.
 */
export interface Journal {
  /**
   * Begins a term. Afterwards no commit of a lower epoch can succeed, however late it arrives.
   * @throws JournalError `fenced` when a higher epoch has begun already, or when this server lacks a key that rows need
   */
  open(epoch: number): Promise<{ revision: number }>;
  /**
   * All rows, in parts of at most some thousand, as of the revision that `open` returned. Rows that can't be decoded are not among
   * them: they are moved to the quarantine at the end.
   */
  load(): AsyncIterable<JournalRows>;
  /**
   * Everything as it is now, without beginning a term: for who may follow the one that leads. Reading it changes nothing; a row that
   * can't be decoded ends it.
   */
  preview(): Promise<JournalPreview>;
  /** In place of `load` for who has a preview: the rows with these keys, as of the revision that `open` returned; others are gone. */
  reread(keys: ChangedKeys): Promise<JournalRows>;
  /** The latest word between a leader that ends and its follower. */
  readHandover(): Promise<Handover | undefined>;
  writeHandover(handover: Handover): Promise<void>;
  /**
   * Makes a batch durable as a whole or not at all. Repeating a batch whose answer was lost is harmless.
   * @throws JournalError `fenced`: not committed and never will be; `unavailable`: nobody knows, try again; `rejected`: the database
   * refused the content
   */
  commit(batch: JournalBatch): Promise<void>;
  /** Payloads that are not in the heap; guids without one are missing from the answer. */
  readTaskDefinitions(guids: readonly string[]): Promise<Map<string, Uint8Array>>;
  /** Payloads that are not in the heap; guids without one are missing from the answer. */
  readRunInfos(processGuids: readonly string[]): Promise<Map<string, Uint8Array>>;
  /** What could not be decoded, in this term or an earlier one. Complete once `load` has come to its end; kept up to date. */
  quarantined(): Quarantined;
  /** The rows set aside, newest first; at most 1,000. */
  quarantinedRows(limit: number): Promise<QuarantinedRow[]>;
  /** Every label that rows have been stored under, and how many still are. Empty for a journal that can't encrypt. */
  encryptionStatus(): Promise<KeyStatus[]>;
  close(): Promise<void>;
}

/** What is kept out of memory because nobody can read it. */
export interface Quarantined {
  /** Rows of all kinds in the quarantine. */
  readonly rows: number;
  /**
   * Processes whose desired LRP is in the quarantine and has not been written anew. Somebody wants their instances, nobody knows how
   * many: without a desired row in memory, such a process must be left alone and not be taken for one that nobody wants.
   */
  readonly processGuids: ReadonlySet<string>;
}

/** A row of the quarantine, without its content. */
export interface QuarantinedRow {
  readonly id: number;
  readonly table: string;
  /** In the order of the table's key. */
  readonly key: readonly (string | number)[];
  readonly reason: string;
  readonly quarantinedAtMs: number;
  /** A new row was written in its place then; 0: none was. */
  readonly supersededAtMs: number;
}

/** How far rotation has come for one label. */
export interface KeyStatus {
  /** '' for rows that are stored plain. */
  readonly label: string;
  /** New rows are written under it. */
  readonly active: boolean;
  /** Rows under it by the last survey, less those rewritten since; undefined before the first survey. */
  readonly rowsLeft: number | undefined;
  /** Rows that were rewritten under another label. */
  readonly rowsRewritten: number;
  /** When a survey of all tables found no row under it: its key is no longer needed. 0: it may be. */
  readonly finishedAtMs: number;
}

/** Rows of any kind. */
export interface JournalRows {
  tasks?: TaskRow[];
  desiredLrps?: DesiredLrpRow[];
  actualLrps?: ActualLrpRow[];
  domains?: DomainRow[];
  cells?: CellRow[];
}

/** What `preview` shows. */
export interface JournalPreview {
  /** Of the term that had begun then. */
  readonly epoch: number;
  readonly revision: number;
  /** To be read at once, and to its end. */
  readonly rows: AsyncIterable<JournalRows>;
}

/** What changes together. `null` deletes. Keys: guid, process guid, `actualLrpKey`, domain, cell id. */
export interface JournalBatch {
  readonly epoch: number;
  /** The revision this batch builds on. */
  readonly baseRevision: number;
  /** The revision it leads to; greater. */
  readonly revision: number;
  readonly tasks: ReadonlyMap<string, TaskRow | null>;
  readonly taskDefinitions: ReadonlyMap<string, Uint8Array | null>;
  readonly desiredLrps: ReadonlyMap<string, DesiredLrpRow | null>;
  readonly runInfos: ReadonlyMap<string, Uint8Array | null>;
  /** Deletions carry the row that goes, as its key alone does not say which columns it has. */
  readonly actualLrps: ReadonlyMap<string, ActualLrpChange>;
  readonly domains: ReadonlyMap<string, DomainRow | null>;
  readonly cells: ReadonlyMap<string, CellRow | null>;
}

/** The row to write, or the row to delete. */
export interface ActualLrpChange {
  readonly row: ActualLrpRow;
  readonly deleted: boolean;
}

export type JournalErrorKind = 'fenced' | 'unavailable' | 'rejected';

/** What a journal throws. */
export class JournalError extends Error {
  constructor(
    readonly kind: JournalErrorKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'JournalError';
  }
}
