import { failpoint } from '@rivera/kit/failpoint';
import pLimit from 'p-limit';
import { GardenError, type GardenSpec } from '../garden.js';
import type { ContainerPlaces } from './places.js';
import { type ContainerRecord, writeRecord } from './record.js';

/** The record of a container while it lives: changed one at a time, durably first and then as others see it. */
export class LivingRecord {
  private readonly oneAtATime = pLimit(1);
  private sealed = false;

  constructor(
    private readonly places: ContainerPlaces,
    private kept: ContainerRecord,
  ) {}

  get current(): ContainerRecord {
    return this.kept;
  }

  /**
   * Changes it. What `meanwhile` does happens after the new record is on disk; when that throws, the old record is put back.
   * @throws GardenError `not-found` once the container is being destroyed, `unavailable` when the disk doesn't take it; what either
   * function throws
   */
  change(
    next: (record: ContainerRecord) => ContainerRecord,
    meanwhile: () => Promise<void> = async () => undefined,
  ): Promise<void> {
    return this.oneAtATime(async () => {
      if (this.sealed) throw new GardenError('not-found', `unknown handle: ${this.kept.spec.handle}`);
      const before = this.kept;
      const after = next(before);
      await this.write(after);
      failpoint('cell.change-recorded');
      try {
        await meanwhile();
      } catch (error) {
        await this.write(before);
        throw error;
      }
      this.kept = after;
    });
  }

  /** Changes what the container is asked to be. */
  changeSpec(next: (spec: GardenSpec) => GardenSpec, meanwhile?: () => Promise<void>): Promise<void> {
    return this.change((record) => ({ ...record, spec: next(record.spec) }), meanwhile);
  }

  /** No change from now on: a record that is written after the container began to die would make it look whole again. */
  async seal(): Promise<void> {
    this.sealed = true;
    await this.oneAtATime(async () => undefined);
  }

  /** It doesn't die after all. */
  unseal(): void {
    this.sealed = false;
  }

  private async write(record: ContainerRecord): Promise<void> {
    await writeRecord(this.places, record).catch((cause: unknown) => {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new GardenError('unavailable', `the change could not be kept: ${why}`, { cause });
    });
  }
}
