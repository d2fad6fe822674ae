/**
 * Work that a cell took a short while ago. If the BBS offers such work (because it had not heard of the claim when it was asked,
 * or because a new auctioneer asked), the offer waits here until the cell gives the work up or the while is over.
 */
export class Settling<Offer> {
  /** In order of expiry, for the while is the same for all. */
  private readonly until = new Map<string, number>();
  private readonly offers = new Map<string, Offer>();

  constructor(private readonly settleMs: number) {}

  /** Offers that wait. */
  get waiting(): number {
    return this.offers.size;
  }

  /** A cell took it. */
  start(key: string, nowMs: number): void {
    this.until.delete(key);
    this.until.set(key, nowMs + this.settleMs);
  }

  has(key: string): boolean {
    return this.until.has(key);
  }

  /** Keeps an offer until its key settles. A second one of the same key replaces the first. */
  hold(key: string, offer: Offer): void {
    this.offers.set(key, offer);
  }

  /** Takes back an offer that waits. */
  drop(key: string): Offer | undefined {
    const offer = this.offers.get(key);
    this.offers.delete(key);
    return offer;
  }

  /** The cell gave it up. @returns the offer that waited for that */
  release(key: string): Offer | undefined {
    this.until.delete(key);
    return this.drop(key);
  }

  /** Ends what is over by `nowMs`. @returns the offers that waited for that */
  expire(nowMs: number): Offer[] {
    const released: Offer[] = [];
    for (const [key, untilMs] of this.until) {
      if (untilMs > nowMs) break;
      const offer = this.release(key);
      if (offer !== undefined) released.push(offer);
    }
    return released;
  }
}
