import type { Logger } from '@rivera/kit/log';
import { Batches } from './batches.js';
import { type LinkPlan, makeLinks, type Place, removeLinks } from './links.js';
import type { SlotIds } from './slot-ids.js';
import type { Slots } from './slots.js';

/**
 * Namespaces that are ready before anybody needs them: making one takes longer than all else that a start does with the network.
 * When half of them are gone the others are made, together and beside the work; when none is left, one is made on the spot.
 */
export class Spares {
  private readonly ready: Place[] = [];
  private readonly making = new Batches<Place>((places) => this.make(places));
  private refilling: Promise<void> | undefined;
  private closed = false;

  constructor(
    private readonly o: {
      slots: Slots;
      ids: SlotIds;
      /** Whether containers have ids of their own on this cell. Spares of an earlier agent may have them all the same. */
      ownIds: boolean;
      links: LinkPlan;
      count: number;
      log: Logger;
    },
  ) {}

  /** A slot whose namespace and interface are there. Spares are as most containers want them: with ids of their own. */
  async take(o: { ownIds: boolean }): Promise<Place> {
    if (this.o.ownIds && !o.ownIds) return this.fresh({ ownIds: false });
    const place = this.ready.shift() ?? (await this.fresh({ ownIds: true }));
    if (this.ready.length <= this.o.count / 2) this.refill();
    return place;
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
    await this.discard(this.ready.splice(0).map(({ slot }) => slot));
  }

  /** Takes slots away that are on the machine. */
  async discard(slots: number[]): Promise<void> {
    await removeLinks(this.o.links, slots);
    for (const slot of slots) {
      await this.o.ids.release(slot);
      await this.o.slots.release(slot);
    }
  }

  private async fill(): Promise<void> {
    // Slots that containers may need are left alone: with all addresses in use there are no spares.
    const missing = Math.min(this.o.count - this.ready.length, this.o.slots.left);
    if (missing <= 0) return;
    const made = await Promise.allSettled(Array.from({ length: missing }, () => this.fresh({ ownIds: true })));
    for (const each of made) if (each.status === 'fulfilled') this.ready.push(each.value);
    const failed = made.find((each) => each.status === 'rejected');
    if (failed) throw failed.reason;
  }

  private async fresh({ ownIds }: { ownIds: boolean }): Promise<Place> {
    const slot = await this.o.slots.reserve();
    try {
      const ids = ownIds && this.o.ownIds ? await this.o.ids.take(slot) : undefined;
      const place = { slot, ...(ids && { ids }) };
      await this.making.add(place);
      return place;
    } catch (error) {
      await this.discard([slot]);
      throw error;
    }
  }

  private async make(places: Place[]): Promise<void> {
    // Of an attempt that failed half-way, or of somebody who has died.
    await removeLinks(
      this.o.links,
      places.map(({ slot }) => slot),
    );
    await makeLinks(this.o.links, places);
  }
}
