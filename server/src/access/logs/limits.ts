/** How much the readers of logs may hold and how patient they are. */
export interface LogLimits {
  /** Reads that gather what is kept, at once; more of them wait. */
  readonly gathering: number;
  /** Reads that may wait for that; more of them are refused. */
  readonly waiting: number;
  /** Streams to cells, of all readers. */
  readonly streams: number;
  /** Cells that one read of the history asks at once. */
  readonly cellsAtOnce: number;
  /** Kept lines of one read. */
  readonly kept: Bound;
  /** Lines that a follower may be behind by. */
  readonly behind: Bound;
  /** A cell that says nothing for so long, when asked for what it keeps, counts as unreachable. */
  readonly silenceMs: number;
  /** A follower sorts what comes within this time; later lines are passed on as they come. */
  readonly gatherMs: number;
  /** How often a follower looks for cells, and asks one again that has failed. */
  readonly lookMs: number;
}

/** Whichever is reached first. */
export interface Bound {
  readonly lines: number;
  readonly bytes: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_LOG_LIMITS: LogLimits = {
  gathering: 32,
  waiting: 256,
  streams: 10_000,
  cellsAtOnce: 32,
  kept: { lines: 200_000, bytes: 32 * MIB },
  behind: { lines: 20_000, bytes: 8 * MIB },
  silenceMs: 10_000,
  gatherMs: 500,
  lookMs: 2_000,
};
