/**
 * What a leader that is told to end and the server that follows it tell each other in the database, so that the follower has read
 * nearly everything while the leader still serves, and after the end only what changed meanwhile.
 *
 *   leader    asks for it                    { epoch }
 *   follower  begins to read everything      { epoch, prepares }
 *   follower  has read it                    { epoch, prepares, preparedRevision }
 *   leader    has ended                      { …, end: its last revision, what changed since the one that was read }
 *
 * It is an offer and never a promise: a follower that finds anything else than it expects reads everything.
 */
export interface Handover {
  /** Of the leader's lease. */
  readonly epoch: number;
  /** Somebody is reading. */
  readonly prepares?: boolean;
  /** Up to where everything has been read. */
  readonly preparedRevision?: number;
  readonly end?: { readonly revision: number; readonly changed: ChangedKeys };
}

/** Rows by their keys. */
export interface ChangedKeys {
  readonly tasks: readonly string[];
  readonly desiredLrps: readonly string[];
  readonly actualLrps: readonly ActualLrpKeyParts[];
  readonly domains: readonly string[];
  readonly cells: readonly string[];
}

export type ActualLrpKeyParts = readonly [processGuid: string, index: number, generation: string];

/** More rows than this are read faster all together. */
export const MAX_CHANGED_ROWS = 100_000;
