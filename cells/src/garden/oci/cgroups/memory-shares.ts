import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { hasCode, isMissing } from '../../../kernel/durable.js';
import { GardenError, type MemoryShare } from '../../garden.js';
import { assertMemoryShare } from '../../memory-share.js';
import type { RuntimeProgram } from '../runtime/runtime.js';
import { type ContainerCgroup, cgroupVersion, hasSwapLimit, oomKillsOf } from './cgroup.js';

/** Names of shares follow, so that none can be that of a file of the kernel. */
const PREFIX = 'share-';
/** With version 2: whatever has no share. */
const REST = 'rest';
/**
 * Goes on as the program that is named, which finds one control group in the place of another: in a copy of the mounts of its own.
 * Arguments: the group, the place, the program and its arguments.
 */
const IN_PLACE = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';
/** Rounds of moving processes, which go on making others meanwhile. */
const MOVES = 100;
const PAGE_BYTES = 4096;

/** How the runtime is brought to put a process into a share. */
export interface Membership {
  options: readonly string[];
  /** A program, with arguments, that goes on as the one that follows. */
  wrapper: readonly string[];
}

/** Of a process without a share. */
export const NO_MEMBERSHIP: Membership = { options: [], wrapper: [] };

/**
 * Parts of a container's memory: each is a control group below the container's, with a limit that is there before any process is. Their
 * names follow from those of the shares, so that later agents find them, and they go with the container's group.
 */
export class MemoryShares {
  constructor(private readonly cgroup: ContainerCgroup) {}

  /**
   * Makes a share, if it isn't there yet.
   * @throws GardenError `invalid`, `limit-failed`
   */
  async prepare(share: MemoryShare, runtime: RuntimeProgram): Promise<Membership> {
    assertMemoryShare(share);
    const group = `${PREFIX}${share.name}`;
    if (cgroupVersion === 2) {
      await this.divide();
      await this.limit(share, 'memory.max', 'memory.swap.max');
      return { options: ['--cgroup', group], wrapper: [] };
    }
    await this.limit(share, 'memory.limit_in_bytes', 'memory.memsw.limit_in_bytes');
    if (runtime.name !== 'crun') return { options: ['--cgroup', `memory:${group}`], wrapper: [] };
    // Asked for a group, crun looks for it below every controller; so it is shown this one where it looks for the container's.
    const wrapper = ['/usr/bin/unshare', '--mount', '/bin/sh', '-c', IN_PLACE, 'sh'];
    return { options: [], wrapper: [...wrapper, this.directory(group), this.cgroup.directory('memory')] };
  }

  /** How often the kernel killed something for want of memory: in a share, or in what has none. */
  async oomKills(share: string | undefined): Promise<number> {
    if (share !== undefined) return oomKillsOf(this.directory(`${PREFIX}${share}`));
    const own = this.cgroup.directory('memory');
    const all = await oomKillsOf(own);
    if (cgroupVersion === 1) return all;
    // Version 2 counts what is below as well, wherever the runtime put it.
    const below = await readdir(own).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    const shares = below.filter((name) => name.startsWith(PREFIX));
    const inShares = await Promise.all(shares.map((name) => oomKillsOf(join(own, name))));
    return Math.max(0, all - inShares.reduce((sum, count) => sum + count, 0));
  }

  private async limit({ name, bytes }: MemoryShare, file: string, swapFile: string): Promise<void> {
    const directory = this.directory(`${PREFIX}${name}`);
    await mkdir(directory).catch((error: unknown) => {
      if (!hasCode(error, 'EEXIST')) throw refused(name, error);
    });
    const wanted = bytes - (bytes % PAGE_BYTES);
    const now = await this.cgroup.limit('memory', join(basename(directory), file));
    // A group without a limit is one that an agent made just before it died.
    if (now !== 0 && now !== wanted)
      throw new GardenError('invalid', `memory share '${name}' has ${now} bytes already, not ${wanted}`);
    try {
      await writeFile(join(directory, file), String(wanted));
      if (cgroupVersion === 2) await writeFile(join(directory, swapFile), '0').catch(withoutSwap);
      // One of memory and swap together, so this leaves none to swap.
      else if (hasSwapLimit()) await writeFile(join(directory, swapFile), String(wanted));
      else await writeFile(join(directory, 'memory.swappiness'), '0');
    } catch (error) {
      throw refused(name, error);
    }
  }

  /**
   * Version 2 limits only groups beside which no process is left in the group above, so all that runs in the container goes to a group of
   * its own first. Runtimes put what comes later beside the container's init.
   */
  private async divide(): Promise<void> {
    const own = this.cgroup.directory('memory');
    const control = join(own, 'cgroup.subtree_control');
    if ((await readFile(control, 'utf8')).split(/\s/).includes('memory')) return;
    await mkdir(join(own, REST), { recursive: true });
    for (let move = 0; move < MOVES; move++) {
      for (const pid of (await readFile(join(own, 'cgroup.procs'), 'utf8')).split('\n').filter(Boolean))
        await writeFile(join(own, REST, 'cgroup.procs'), pid).catch((error: unknown) => {
          if (!isMissing(error)) throw error;
        });
      const enabled = await writeFile(control, '+memory').then(
        () => true,
        (error: unknown) => {
          if (hasCode(error, 'EBUSY')) return false;
          throw error;
        },
      );
      if (enabled) return;
    }
    throw new GardenError('limit-failed', 'the container makes processes faster than they can be moved');
  }

  private directory(group: string): string {
    return join(this.cgroup.directory('memory'), group);
  }
}

/** A kernel that counts no swap has no such file. */
function withoutSwap(error: unknown): void {
  if (!isMissing(error)) throw error;
}

function refused(name: string, cause: unknown): GardenError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new GardenError('limit-failed', `memory share '${name}' can't be made: ${why}`, { cause });
}
