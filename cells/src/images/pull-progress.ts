import type { Clock } from '@rivera/kit/clock';

/** Lines about a pull that goes on come this far apart. */
const INTERVAL_MS = 2000;
const MIB = 1024 * 1024;

/** How a pull goes, in sentences for the log of whoever waits for it. */
export class PullProgress {
  #layers = 0;
  #done = 0;
  #bytes = 0;
  #toldAtMs = 0;

  constructor(private readonly o: { name: string; clock: Clock; tell: ((text: string) => void) | undefined }) {}

  began({ layers, here }: { layers: number; here: number }): void {
    this.#layers = layers;
    this.#toldAtMs = this.o.clock.now();
    const known = here === 0 ? '' : `, ${here} of them here already`;
    this.o.tell?.(`Downloading image ${this.o.name}: ${counted(layers)}${known}`);
  }

  /** @param bytes negative when some have to be fetched again */
  received(bytes: number): void {
    this.#bytes += bytes;
    const now = this.o.clock.now();
    if (now - this.#toldAtMs < INTERVAL_MS) return;
    this.#toldAtMs = now;
    this.o.tell?.(`Downloading image ${this.o.name}: ${this.#done}/${this.#layers} layers, ${mebibytes(this.#bytes)}`);
  }

  layerDone(): void {
    this.#done++;
  }

  ended(): void {
    this.o.tell?.(`Downloaded image ${this.o.name}: ${counted(this.#layers)}, ${mebibytes(this.#bytes)}`);
  }
}

function counted(layers: number): string {
  return layers === 1 ? '1 layer' : `${layers} layers`;
}

function mebibytes(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
