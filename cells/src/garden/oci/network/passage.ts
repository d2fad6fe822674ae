import { readIfPresent, writeDurably } from '../../../kernel/durable.js';
import { assertEgressRules, assertPortRequest } from '../../egress-rule.js';
import { type EgressRule, GardenError, type PortMapping } from '../../garden.js';
import type { Cell } from '../cell.js';
import type { ContainerPlaces } from '../places.js';
import type { ContainerRecord } from '../record.js';

/** What came after the container was made. */
interface Later {
  egress: EgressRule[];
  ports: PortMapping[];
}

/** What a container's network lets through: what it was made with, and what was added since. The latter has a file of its own. */
export class Passage {
  private later: Later = { egress: [], ports: [] };
  private changing: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly cell: Cell,
    private readonly places: ContainerPlaces,
    private readonly record: ContainerRecord,
  ) {}

  get egress(): EgressRule[] {
    return [...this.record.spec.egress, ...this.later.egress];
  }

  get ports(): PortMapping[] {
    return [...this.record.info.ports, ...this.later.ports];
  }

  /** Takes up what an earlier agent added. */
  async load(): Promise<void> {
    const text = await readIfPresent(this.places.passage);
    if (text !== undefined) this.later = JSON.parse(text) as Later;
  }

  /** @throws GardenError `invalid`, `unavailable` when the disk doesn't take it, `process-failed` */
  async allow(rules: readonly EgressRule[]): Promise<void> {
    await this.oneByOne(async () => {
      assertEgressRules(rules, this.egress.length);
      if (rules.length > 0) await this.change({ ...this.later, egress: [...this.later.egress, ...rules] });
    });
  }

  /** @throws GardenError `invalid`, `no-ports`, `unavailable` when the disk doesn't take it, `process-failed` */
  map(wanted: Partial<PortMapping>): Promise<PortMapping> {
    assertPortRequest(wanted);
    return this.oneByOne(async () => {
      const { handle } = this.places;
      const mapping = await this.cell.ports.takeOne(handle, wanted);
      try {
        await this.change({ ...this.later, ports: [...this.later.ports, mapping] });
      } catch (error) {
        await this.cell.ports.release(handle, [mapping]);
        throw error;
      }
      return mapping;
    });
  }

  /** Resolves when no change is under way. */
  async settled(): Promise<void> {
    await this.changing;
  }

  /** Durable first: what the firewall lets through is made from the file when the agent starts. */
  private async change(after: Later): Promise<void> {
    const before = this.later;
    await this.save(after);
    try {
      const { egress, ports } = this;
      await this.cell.network.change(this.places.handle, { egress, ports });
    } catch (cause) {
      await this.save(before);
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new GardenError('process-failed', `the network of container '${this.places.handle}': ${reason}`, { cause });
    }
  }

  private async save(later: Later): Promise<void> {
    await writeDurably(this.places.passage, JSON.stringify(later)).catch((cause: unknown) => {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new GardenError('unavailable', `the change could not be kept: ${why}`, { cause });
    });
    this.later = later;
  }

  private oneByOne<T>(work: () => Promise<T>): Promise<T> {
    const done = this.changing.then(work);
    this.changing = done.catch(() => undefined);
    return done;
  }
}
