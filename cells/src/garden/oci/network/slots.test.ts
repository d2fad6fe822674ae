import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readSlots, Slots } from './slots.js';
import { FIRST_SLOT } from './subnet.js';

let base: string;
let slots: Slots;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'rivera-slots-'));
  slots = new Slots(join(base, 'network'), FIRST_SLOT + 1);
  await slots.load();
});
afterEach(() => rm(base, { recursive: true, force: true }));

it('are taken in turn, each by one, and known again after a restart', async () => {
  const [a, b] = [await slots.reserve(), await slots.reserve()];
  expect([a, b].sort()).toEqual([FIRST_SLOT, FIRST_SLOT + 1]);
  await expect(slots.reserve()).rejects.toThrow('no free address');
  await slots.assign(a, 'x');
  const again = new Slots(join(base, 'network'), FIRST_SLOT + 1);
  await again.load();
  expect([again.of('x'), again.spares(), again.left]).toEqual([a, [b], 0]);
  await again.release(a);
  expect([again.of('x'), await again.reserve()]).toEqual([undefined, a]);
});

it('that could not be noted, as on a full disk, are still free once they can', async () => {
  await rm(join(base, 'network'), { recursive: true });
  await writeFile(join(base, 'network'), '');
  for (let n = 0; n < 5; n++) await expect(slots.reserve()).rejects.toThrow('ENOTDIR');
  expect(slots.left).toBe(2);
  await rm(join(base, 'network'));
  await mkdir(join(base, 'network'));
  const slot = await slots.reserve();
  expect(await readdir(join(base, 'network'))).toEqual([`${slot}.`]);
});

it('are not taken for nobody’s when they can’t be read', async () => {
  await symlink('loop', join(base, 'loop'));
  await expect(readSlots(join(base, 'loop'))).rejects.toThrow('ELOOP');
  expect(await readSlots(join(base, 'nowhere'))).toEqual([]);
});
