import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { namesIn } from '../../../kernel/durable.js';
import { GardenError } from '../../garden.js';
import { FIRST_SLOT } from './subnet.js';

/**
 * Who has which slot of a cell's network, as a directory of empty files named `SLOT.HANDLE`; `SLOT.` is a spare. The file is there
 * before anything of the slot is on the machine, and goes after it, so that nothing is unfindable. Slots are taken in turn: one just
 * freed is the last to be used again.
 */
export class Slots {
  private readonly handles = new Map<number, string>();
  private readonly byHandle = new Map<string, number>();
  private next: number;

  constructor(
    private readonly directory: string,
    private readonly last: number,
  ) {
    // Somewhere: after a restart nobody remembers which were freed last.
    this.next = FIRST_SLOT + Math.floor(Math.random() * (last - FIRST_SLOT + 1));
  }

  /** Reads what an earlier agent left. */
  async load(): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    this.handles.clear();
    this.byHandle.clear();
    for (const { slot, handle } of await readSlots(this.directory)) this.note(slot, handle);
  }

  /** Slots that no container has. */
  spares(): number[] {
    return [...this.handles].filter(([, handle]) => handle === '').map(([slot]) => slot);
  }

  has(slot: number): boolean {
    return this.handles.has(slot);
  }

  of(handle: string): number | undefined {
    return this.byHandle.get(handle);
  }

  /** Takes a slot that is nobody's. @throws GardenError `create-failed` when all are taken */
  async reserve(): Promise<number> {
    const slot = this.free();
    if (slot === undefined) throw new GardenError('create-failed', 'the subnet of this cell has no free address');
    this.handles.set(slot, '');
    try {
      await writeFile(this.path(slot, ''), '', { mode: 0o600 });
    } catch (error) {
      // A full disk comes and goes; what it kept from being noted is still free then.
      this.handles.delete(slot);
      throw error;
    }
    return slot;
  }

  /** How many could still be reserved. */
  get left(): number {
    return this.last - FIRST_SLOT + 1 - this.handles.size;
  }

  /** Gives a spare to a container. */
  async assign(slot: number, handle: string): Promise<void> {
    this.note(slot, handle);
    await rename(this.path(slot, ''), this.path(slot, handle));
  }

  /** Nothing of the slot is on the machine any more. */
  async release(slot: number): Promise<void> {
    const handle = this.handles.get(slot);
    if (handle === undefined) return;
    await rm(this.path(slot, handle), { force: true });
    this.handles.delete(slot);
    if (this.byHandle.get(handle) === slot) this.byHandle.delete(handle);
  }

  private note(slot: number, handle: string): void {
    this.handles.set(slot, handle);
    if (handle !== '') this.byHandle.set(handle, slot);
  }

  private free(): number | undefined {
    for (let tried = FIRST_SLOT; tried <= this.last; tried++) {
      const slot = this.next;
      this.next = slot >= this.last ? FIRST_SLOT : slot + 1;
      if (!this.handles.has(slot)) return slot;
    }
    return undefined;
  }

  private path(slot: number, handle: string): string {
    return join(this.directory, `${slot}.${handle}`);
  }
}

/** The slots of a directory, whoever made it. */
export async function readSlots(directory: string): Promise<{ slot: number; handle: string }[]> {
  const names = await namesIn(directory);
  return names.flatMap((name) => {
    const [, slot, handle] = /^(\d+)\.([A-Za-z0-9_-]*)$/.exec(name) ?? [];
    return slot === undefined || handle === undefined ? [] : [{ slot: Number(slot), handle }];
  });
}
