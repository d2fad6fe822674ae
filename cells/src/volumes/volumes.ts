import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { failpoint } from '@rivera/kit/failpoint';
import type { Logger } from '@rivera/kit/log';
import { writeDurably } from '../kernel/durable.js';
import { type Volume, type VolumeDriver, VolumeError } from './driver.js';

/** A volume and who has it. */
export interface VolumeUse extends Volume {
  driver: string;
}

const RECORD = /^([A-Za-z0-9_-]+)\.json$/;

/**
 * Volumes of a cell's containers. What a container uses is on disk before the first of its volumes is mounted, and until the last is
 * unmounted, so that a later life of the agent knows what to unmount. A container gets all its volumes or none.
 */
export class Volumes {
  readonly #drivers: ReadonlyMap<string, VolumeDriver>;
  readonly #uses = new Map<string, VolumeUse[]>();

  constructor(private readonly o: { directory: string; drivers: readonly VolumeDriver[]; logger: Logger }) {
    this.#drivers = new Map(o.drivers.map((driver) => [driver.name, driver]));
  }

  /** Names of the drivers, for the auction. */
  get drivers(): string[] {
    return [...this.#drivers.keys()].sort();
  }

  /** Learns what an earlier life mounted. Call once, first. */
  async start(): Promise<void> {
    await mkdir(this.o.directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.o.directory)) {
      const guid = RECORD.exec(name)?.[1];
      if (guid === undefined) continue;
      this.#uses.set(guid, JSON.parse(await readFile(join(this.o.directory, name), 'utf8')) as VolumeUse[]);
    }
    const all = [...this.#uses].flatMap(([container, uses]) => uses.map((volume) => ({ container, volume })));
    for (const driver of this.#drivers.values())
      await driver.start(all.filter(({ volume }) => volume.driver === driver.name));
  }

  /** Lets go of what belongs to containers that are not known any more. */
  async keepOnly(known: ReadonlySet<string>): Promise<void> {
    for (const guid of [...this.#uses.keys()].filter((each) => !known.has(each))) {
      await this.release(guid).catch((error: unknown) => {
        this.o.logger.error({ err: error, guid }, 'volumes of a container that nobody knows could not be unmounted');
      });
    }
  }

  /**
   * Mounts all volumes of a container; resolves with their directories, in the same order. When one can't be had, those before it are
   * let go of.
   * @throws VolumeError
   */
  async mount(guid: string, uses: readonly VolumeUse[]): Promise<string[]> {
    if (uses.length === 0) return [];
    // All that can be seen beforehand; from here to the note in memory nobody else gets a turn.
    for (const use of uses) {
      this.#driver(use);
      const holder = this.#holder(use, guid);
      if (holder !== undefined)
        throw new VolumeError(`volume '${use.id}' is dedicated, and in use by container ${holder}`);
    }
    this.#uses.set(guid, [...uses]);
    try {
      await writeDurably(this.#record(guid), JSON.stringify(uses));
      failpoint('cell.volumes-recorded');
      const paths: string[] = [];
      for (const use of uses) paths.push(await this.#driver(use).mount(guid, use));
      failpoint('cell.volumes-mounted');
      return paths;
    } catch (error) {
      await this.release(guid).catch((cause: unknown) => {
        this.o.logger.error({ err: cause, guid }, 'volumes of a container that was not made could not be unmounted');
      });
      throw error;
    }
  }

  /** Unmounts all volumes of a container, whichever of them are mounted; fine when it has none. After a failure it can be called again. */
  async release(guid: string): Promise<void> {
    const uses = this.#uses.get(guid);
    if (!uses) return;
    const failures: unknown[] = [];
    for (const use of [...uses].reverse()) {
      // One whose driver was taken from the cell's configuration is nobody's concern any more.
      await this.#drivers
        .get(use.driver)
        ?.unmount(guid, use)
        .catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw new AggregateError(failures, `volumes of container ${guid} could not be unmounted`);
    await rm(this.#record(guid), { force: true });
    this.#uses.delete(guid);
  }

  #driver({ driver }: VolumeUse): VolumeDriver {
    const found = this.#drivers.get(driver);
    if (!found) throw new VolumeError(`Plugin '${driver}' not found in list of known plugins`);
    return found;
  }

  /** Who else has a dedicated volume. */
  #holder(wanted: VolumeUse, guid: string): string | undefined {
    if (wanted.kind !== 'dedicated') return undefined;
    for (const [holder, uses] of this.#uses) {
      const same = uses.some(
        ({ driver, kind, id }) => kind === 'dedicated' && driver === wanted.driver && id === wanted.id,
      );
      if (holder !== guid && same) return holder;
    }
    return undefined;
  }

  #record(guid: string): string {
    return join(this.o.directory, `${guid}.json`);
  }
}
