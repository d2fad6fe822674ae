import { mkdir, readlink, rm, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, isMissing, namesIn } from '../../kernel/durable.js';
import type { IdMapping } from '../../kernel/kernel-steps.js';
import { GardenError } from '../garden.js';

/** Ids that a container has: 0 to 65535, as many as everybody's user databases use. */
export const IDS_PER_CONTAINER = 65_536;

/** Claims of all gardens of this machine, one link each; emptied by a reboot, as are the containers. */
const CLAIMS_DIR = '/run/rivera/ids';

/**
 * Ranges of host ids, one for each container, so that not even two containers have an id in common. A range belongs to whoever
 * made its link first; the link leads to its owner's place, and one that leads nowhere belongs to nobody. Cells of one machine may count
 * from different first ids: what another's range reaches into is not free either.
 */
export class IdRanges {
  private next: number;

  constructor(
    private readonly pool: { firstId: number; ranges: number },
    private readonly dir = CLAIMS_DIR,
  ) {
    this.next = Math.floor(Math.random() * pool.ranges);
  }

  /**
   * Takes a range for whoever has this place, which has to exist.
   * @throws GardenError `create-failed` when all ranges of the machine are used up
   */
  async take(place: string): Promise<IdMapping> {
    await mkdir(this.dir, { recursive: true });
    const { ranges } = this.pool;
    for (let tried = 0; tried < ranges; tried++) {
      const hostId = this.pool.firstId + this.next * IDS_PER_CONTAINER;
      this.next = (this.next + 1) % ranges;
      if (await this.claim(String(hostId), place)) return { hostId, size: IDS_PER_CONTAINER };
    }
    throw new GardenError('create-failed', `all ${ranges} ranges of user ids of this machine are in use`);
  }

  /** Frees what an owner has; one that is known needn't be searched for. */
  async release(place: string, known?: IdMapping): Promise<void> {
    const names = known ? [String(known.hostId)] : await namesIn(this.dir);
    for (const name of names) if ((await this.owner(name)) === place) await rm(join(this.dir, name), { force: true });
  }

  /** Who has what among the places below a directory. */
  async claims(below: string): Promise<{ hostId: string; place: string }[]> {
    const found = [];
    for (const hostId of await namesIn(this.dir)) {
      const place = await this.owner(hostId);
      if (place?.startsWith(`${below}/`)) found.push({ hostId, place });
    }
    return found;
  }

  private async claim(name: string, place: string): Promise<boolean> {
    try {
      await symlink(place, join(this.dir, name));
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
      await this.dropIfLost(name);
      return false;
    }
    const overlapping = (await namesIn(this.dir)).filter(
      (other) => other !== name && overlap(Number(other), Number(name)),
    );
    if (overlapping.length === 0) return true;
    await rm(join(this.dir, name), { force: true });
    for (const other of overlapping) await this.dropIfLost(other);
    return false;
  }

  /** A cell whose data folder was thrown away frees its ranges by that; they can be taken the next time round. */
  private async dropIfLost(name: string): Promise<void> {
    const lost = await stat(join(this.dir, name)).then(() => false, isMissing);
    if (lost) await rm(join(this.dir, name), { force: true });
  }

  private async owner(name: string): Promise<string | undefined> {
    return readlink(join(this.dir, name)).catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
  }
}

function overlap(a: number, b: number): boolean {
  return Math.abs(a - b) < IDS_PER_CONTAINER;
}
