/** Payloads that live in the journal: the latest used ones are kept, up to a number of bytes. */
export class PayloadCache {
  private readonly payloads = new Map<string, Uint8Array>();
  /** Loads under way; one that was overtaken by a newer payload is not kept. */
  private readonly loading = new Map<string, symbol>();
  private bytes = 0;
  /** Payloads that were asked for and here, and that had to be loaded. */
  readonly counts = { hits: 0, misses: 0 };

  constructor(
    private readonly maxBytes: number,
    private readonly load: (guids: readonly string[]) => Promise<Map<string, Uint8Array>>,
  ) {}

  /** Bytes that are kept now. */
  get keptBytes(): number {
    return this.bytes;
  }

  /** What there is of them. @throws what the load throws */
  async get(guids: readonly string[]): Promise<Map<string, Uint8Array>> {
    const found = new Map<string, Uint8Array>();
    const missing: string[] = [];
    for (const guid of guids) {
      const payload = this.payloads.get(guid);
      if (payload === undefined) {
        missing.push(guid);
      } else {
        this.payloads.delete(guid);
        this.payloads.set(guid, payload);
        found.set(guid, payload);
      }
    }
    this.counts.hits += found.size;
    this.counts.misses += missing.length;
    if (missing.length > 0) await this.loadInto(found, missing);
    return found;
  }

  put(guid: string, payload: Uint8Array): void {
    this.delete(guid);
    if (payload.length > this.maxBytes) return;
    this.payloads.set(guid, payload);
    this.bytes += payload.length;
    for (const [oldest, { length }] of this.payloads) {
      if (this.bytes <= this.maxBytes) break;
      this.payloads.delete(oldest);
      this.bytes -= length;
    }
  }

  delete(guid: string): void {
    this.loading.delete(guid);
    const payload = this.payloads.get(guid);
    if (payload === undefined) return;
    this.payloads.delete(guid);
    this.bytes -= payload.length;
  }

  private async loadInto(found: Map<string, Uint8Array>, missing: readonly string[]): Promise<void> {
    const mark = Symbol('load');
    for (const guid of missing) this.loading.set(guid, mark);
    try {
      for (const [guid, payload] of await this.load(missing)) {
        const overtaken = this.loading.get(guid) !== mark;
        const current = overtaken ? (this.payloads.get(guid) ?? payload) : payload;
        found.set(guid, current);
        if (!overtaken) this.put(guid, payload);
      }
    } finally {
      for (const guid of missing) if (this.loading.get(guid) === mark) this.loading.delete(guid);
    }
  }
}
