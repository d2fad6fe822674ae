import type { Logger } from '@rivera/kit/log';
import { Batches } from './batches.js';
import { type LinkPlan, makeLinks, removeLinks } from './links.js';
import type { Slots } from './slots.js';

/**
 * Namespaces that are ready before anybody needs them: making one takes longer than all else that a start does with the network.
 * When half of them are gone the others are made, together and beside the work; when none is left, one is made on the spot.
 */
export class Spares {
  private readonly ready: number[] = [];
  private readonly making = new Batches<number>((slots) => this.make(slots));
  private refilling: Promise<void> | undefined;
  private closed = false;

  constructor(private readonly o: { slots: Slots; links: LinkPlan; count: number; log: Logger }) {}

  /** A slot whose namespace and interface are there. */
  async take(): Promise<number> {
    const slot = this.ready.shift() ?? (await this.fresh());
    if (this.ready.length <= this.o.count / 2) this.refill();
    return slot;
  }

  /** Makes spares, beside whatever else happens. */
  refill(): void {
    if (this.closed) return;
    this.refilling ??= this.fill()
      .catch((error: unknown) => this.o.log.warn({ error }, 'no spare networks could be made'))
      .finally(() => {
        this.refilling = undefined;
      });
  }

  /** Takes the spares away; nothing runs afterwards. */
  async close(): Promise<void> {
    this.closed = true;
    await this.refilling;
    await this.making.idle();
    await this.discard(this.ready.splice(0));
  }

  /** Takes slots away that are on the machine. */
  async discard(slots: number[]): Promise<void> {
    await removeLinks(this.o.links, slots);
    for (const slot of slots) await this.o.slots.release(slot);
  }

  private async fill(): Promise<void> {
    // Slots that containers may need are left alone: with all addresses in use there are no spares.
    const missing = Math.min(this.o.count - this.ready.length, this.o.slots.left);
    if (missing <= 0) return;
    const made = await Promise.allSettled(Array.from({ length: missing }, () => this.fresh()));
    for (const each of made) if (each.status === 'fulfilled') this.ready.push(each.value);
    const failed = made.find((each) => each.status === 'rejected');
    if (failed) throw failed.reason;
  }

  private async fresh(): Promise<number> {
    const slot = await this.o.slots.reserve();
    try {
      await this.making.add(slot);
      return slot;
    } catch (error) {
      await this.discard([slot]);
      throw error;
    }
  }

  private async make(slots: number[]): Promise<void> {
    // Of an attempt that failed half-way, or of somebody who has died.
    await removeLinks(this.o.links, slots);
    await makeLinks(this.o.links, slots);
  }
}
