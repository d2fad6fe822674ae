import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * The highest epoch of an auctioneer that this cell has taken work from, kept on disk: after a restart of the cell, too, a
 * deposed auctioneer can place nothing here.
 */
export class EpochFile {
  readonly #path: string;
  #highest: number;

  private constructor(path: string, highest: number) {
    this.#path = path;
    this.#highest = highest;
  }

  static async open(path: string): Promise<EpochFile> {
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '0';
      throw error;
    });
    const highest = Number(text);
    if (!Number.isSafeInteger(highest) || highest < 0) throw new Error(`${path} holds no epoch: ${text.slice(0, 40)}`);
    return new EpochFile(path, highest);
  }

  get highest(): number {
    return this.#highest;
  }

  /** Whether work of this epoch may be taken; a higher epoch than before is durable when this resolves. */
  async admit(epoch: number): Promise<boolean> {
    if (epoch < this.#highest) return false;
    if (epoch > this.#highest) {
      await writeDurably(this.#path, String(epoch));
      this.#highest = epoch;
    }
    return true;
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const next = `${path}.next`;
  const file = await open(next, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(next, path);
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
