/** The numbers of the BBS; the defaults are the reference's (spec bbs §3.5, §4.4). Times in milliseconds. */
export interface Policy {
  /** A Task that waits longer for a cell fails. */
  readonly expirePendingTaskMs: number;
  /** A Task that has ended is forgotten after this. */
  readonly expireCompletedTaskMs: number;
  /** How long delivery of a callback is tried. */
  readonly callbackRetentionMs: number;
  /** A Task whose callback was given up, a dead letter, is kept for so long after that. */
  readonly deadLetterRetentionMs: number;
  /** Of more dead letters the oldest go. */
  readonly maxDeadLetters: number;
  /** Work that waits is offered again, and an abandoned RESOLVING demoted, after this. */
  readonly kickMs: number;
  /** Placements that may fail before the last one. */
  readonly maxTaskRetries: number;
  /** First wait between two placements of a Task; doubles up to `kickMs`. */
  readonly taskRetryBackoffMs: number;
  /** First wait between two callbacks; doubles up to a minute. */
  readonly callbackBackoffMs: number;
  /** Without a heartbeat for so long a cell is missing. */
  readonly presenceTtlMs: number;
  /** A missing cell is shown for so long. */
  readonly forgetCellMs: number;
  readonly massLoss: MassLossNumbers;
  readonly restart: RestartNumbers;
}

/** When the loss of cells is held back, as the fault may be elsewhere. */
export interface MassLossNumbers {
  /** For so long, beyond their time to live. */
  readonly graceMs: number;
  /** Of the cells that are known; more than this fraction must be silent. */
  readonly fraction: number;
  /** And at least so many. */
  readonly minimumCells: number;
}

/** When crashed instances are restarted. */
export interface RestartNumbers {
  /** Up for longer than this, and the count starts again. */
  readonly resetAfterMs: number;
  /** Crash counts below this are restarted at once. */
  readonly immediateRestarts: number;
  readonly minimumBackoffMs: number;
  readonly maximumBackoffMs: number;
  /** At this count it stays down; 0: never. */
  readonly giveUpAt: number;
}

export const DEFAULT_POLICY: Policy = {
  expirePendingTaskMs: 1_800_000,
  expireCompletedTaskMs: 120_000,
  callbackRetentionMs: 3_600_000,
  deadLetterRetentionMs: 604_800_000,
  maxDeadLetters: 10_000,
  kickMs: 30_000,
  maxTaskRetries: 3,
  taskRetryBackoffMs: 5_000,
  callbackBackoffMs: 1_000,
  presenceTtlMs: 15_000,
  forgetCellMs: 600_000,
  massLoss: { graceMs: 60_000, fraction: 0.5, minimumCells: 3 },
  restart: {
    resetAfterMs: 300_000,
    immediateRestarts: 3,
    minimumBackoffMs: 30_000,
    maximumBackoffMs: 960_000,
    giveUpAt: 200,
  },
};
