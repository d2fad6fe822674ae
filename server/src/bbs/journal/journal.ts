import type { ActualLrpRow, CellRow, DesiredLrpRow, DomainRow, TaskRow } from '../core/model.js';

/**
 * Where the BBS's state is durable. Exactly one engine writes at a time: it opens a term with the epoch of its lease, and from
 * then on every commit under a lower epoch fails as a whole. Every implementation passes the suite in `contract.ts`.
 */
export interface Journal {
  /**
   * Begins a term. Afterwards no commit of a lower epoch can succeed, however late it arrives.
   * @throws JournalError `fenced` when a higher epoch has begun already
   */
  open(epoch: number): Promise<{ revision: number }>;
  /** All rows, in parts of at most some thousand, as of the revision that `open` returned. */
  load(): AsyncIterable<JournalRows>;
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
  close(): Promise<void>;
}

/** Rows of any kind. */
export interface JournalRows {
  tasks?: TaskRow[];
  desiredLrps?: DesiredLrpRow[];
  actualLrps?: ActualLrpRow[];
  domains?: DomainRow[];
  cells?: CellRow[];
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
