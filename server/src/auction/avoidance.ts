/** When to leave a cell alone that keeps failing work. */
export interface AvoidanceSettings {
  readonly avoidAfterStrikes: number;
  readonly avoidForMs: number;
  readonly avoidMaxMs: number;
}

interface Record {
  /** Failures since the last success. */
  strikes: number;
  /** Times avoided since the last success. */
  rounds: number;
  untilMs: number;
}

/** Cells with a record; the one that failed longest ago is forgotten first. */
const RECORDS_KEPT = 20_000;

/**
 * The conduct of cells, across their reconnects. Some failures in a row and a cell is avoided; the next time for twice as long;
 * one success clears it.
 */
export class Avoidance {
  private readonly records = new Map<string, Record>();

  constructor(private readonly settings: AvoidanceSettings) {}

  /** The cell failed work. @returns until when it is avoided from now on; undefined: it isn't, or was already */
  strike(cellId: string, nowMs: number): number | undefined {
    const record = this.records.get(cellId) ?? { strikes: 0, rounds: 0, untilMs: 0 };
    this.records.delete(cellId);
    this.records.set(cellId, record);
    if (this.records.size > RECORDS_KEPT) this.records.delete(this.records.keys().next().value as string);
    // What fails now was handed out before: that says nothing new.
    if (record.untilMs > nowMs) return undefined;
    record.strikes++;
    if (record.strikes < this.settings.avoidAfterStrikes) return undefined;
    record.strikes = 0;
    const durationMs = Math.min(this.settings.avoidForMs * 2 ** record.rounds, this.settings.avoidMaxMs);
    record.rounds++;
    record.untilMs = nowMs + durationMs;
    return record.untilMs;
  }

  /** The cell took work. */
  clear(cellId: string): void {
    this.records.delete(cellId);
  }

  /** Until when the cell is avoided; 0: it isn't. */
  until(cellId: string, nowMs: number): number {
    const untilMs = this.records.get(cellId)?.untilMs ?? 0;
    return untilMs > nowMs ? untilMs : 0;
  }
}
