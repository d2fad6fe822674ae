import { mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { IdMapping } from '../../../kernel/kernel-steps.js';
import type { IdRanges } from '../id-ranges.js';

/** The ranges of user ids that go with the slots of a cell's network: a network namespace belongs to a user namespace, and that to ids. */
export class SlotIds {
  constructor(
    private readonly ranges: IdRanges,
    private readonly directory: string,
  ) {}

  async take(slot: number): Promise<IdMapping> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    // What the claim leads to: without the data folder of the cell it would be nobody's.
    await writeFile(this.place(slot), '', { mode: 0o600 });
    return this.ranges.take(this.place(slot));
  }

  /** Nothing of the slot is on the machine any more; ids that are known needn't be searched for. */
  async release(slot: number, known?: IdMapping): Promise<void> {
    await this.ranges.release(this.place(slot), known);
    await rm(this.place(slot), { force: true });
  }

  /** Which slot has what. */
  async claims(): Promise<{ slot: number; hostId: string }[]> {
    const claims = await this.ranges.claims(this.directory);
    return claims.map(({ hostId, place }) => ({ hostId, slot: Number(basename(place)) }));
  }

  private place(slot: number): string {
    return join(this.directory, String(slot));
  }
}
