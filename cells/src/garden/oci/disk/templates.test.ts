import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { DiskTemplates } from './templates.js';

const MB = 1024 * 1024;
const SMALL = { imageBytes: 8 * MB, inodes: 1024 };
let directory: string;
let templates: DiskTemplates;

beforeEach(async () => {
  directory = join(mkdtempSync(join(tmpdir(), 'rivera-templates-')), 'templates');
  templates = new DiskTemplates(directory, 2);
  await templates.prepare();
});
afterEach(() => rmSync(join(directory, '..'), { recursive: true, force: true }));

const used = (geometry = SMALL) => templates.use(geometry, (path) => Promise.resolve(path));
const magicOf = (path: string) => readFileSync(path).readUInt16LE(1024 + 0x38);
const sized = (imageBytes: number) => ({ ...SMALL, imageBytes });

it('formats once for each geometry, also when many ask at once', async () => {
  const paths = await Promise.all([used(), used(), used(), used(sized(12 * MB))]);
  expect(new Set(paths).size).toBe(2);
  expect(readdirSync(directory)).toHaveLength(2);
  expect(magicOf(paths[0] as string)).toBe(0xef53);
  expect(statSync(paths[3] as string).size).toBe(12 * MB);
  expect(await used()).toBe(paths[0]);
});

it.each<[string, (path: string) => void]>([
  ['longer', (path) => appendFileSync(path, 'x')],
  ['another', (path) => writeFileSync(path, readFileSync(path))],
  [
    'changed, with its old times',
    (path) => {
      const { atime, mtime, size } = statSync(path);
      writeFileSync(path, Buffer.alloc(size));
      utimesSync(path, atime, mtime);
    },
  ],
  ['gone', (path) => rmSync(path)],
])('makes one anew that is %s', async (_, spoil) => {
  const before = await used();
  spoil(before);
  const after = await used();
  expect(after).not.toBe(before);
  expect(magicOf(after)).toBe(0xef53);
  expect(readdirSync(directory)).toHaveLength(1);
});

it('keeps so many and no more, those that were used last and those in use', async () => {
  let finish: () => void = () => undefined;
  const held = templates.use(
    sized(9 * MB),
    (path) =>
      new Promise<string>((resolve) => {
        finish = () => resolve(path);
      }),
  );
  const kept = () =>
    readdirSync(directory)
      .map((name) => name.split('-')[0])
      .sort();
  for (const imageBytes of [10, 11, 10, 12]) await used(sized(imageBytes * MB));
  expect(kept()).toEqual([9, 12].map((megabytes) => String(megabytes * MB)).sort());
  finish();
  await held;
  await used(sized(13 * MB));
  expect(kept()).toEqual([12, 13].map((megabytes) => String(megabytes * MB)).sort());
});

it('uses nothing of an earlier agent, and nothing whose making failed', async () => {
  const before = await used();
  templates = new DiskTemplates(directory, 2);
  await templates.prepare();
  expect(readdirSync(directory)).toEqual([]);
  // Too small for a filesystem.
  await expect(used(sized(4096))).rejects.toThrow('mkfs.ext4');
  expect(readdirSync(directory)).toEqual([]);
  expect(magicOf(await used())).toBe(0xef53);
  expect(before).toContain(directory);
});
