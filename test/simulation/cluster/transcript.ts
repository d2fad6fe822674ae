import { createHash } from 'node:crypto';

/** What happened in a history, line by line; equal histories have equal hashes. */
export class Transcript {
  private readonly hash = createHash('sha256');
  private readonly kept: string[] = [];

  constructor(
    /** Lines that are kept for `last`. */
    private readonly keep: number,
    private readonly nowMs: () => number,
    private readonly print: ((line: string) => void) | undefined,
  ) {}

  add(text: string): void {
    const line = `${(this.nowMs() / 1000).toFixed(3).padStart(9)}  ${text}`;
    this.hash.update(line).update('\n');
    this.kept.push(line);
    if (this.kept.length > 2 * this.keep) this.kept.splice(0, this.keep);
    this.print?.(line);
  }

  /** The latest lines. */
  last(): string[] {
    return this.kept.slice(-this.keep);
  }

  /** Of all lines; ends the transcript. */
  digest(): string {
    return this.hash.digest('hex');
  }
}
