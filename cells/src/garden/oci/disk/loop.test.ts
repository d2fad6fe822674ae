import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { doKernelSteps } from '../../../kernel/kernel-steps.js';
import { unmountBelow } from '../../../kernel/mounts.js';
import { DiskTemplates } from './templates.js';

const MB = 1024 * 1024;
let base: string;
const at = (name: string) => join(base, name);

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'rivera-loop-'));
});
afterEach(async () => {
  await unmountBelow(base);
  rmSync(base, { recursive: true, force: true });
});

/** Loop devices on files of this test. */
function devices(): string[] {
  return readdirSync('/sys/block').filter((device) => {
    try {
      return readFileSync(`/sys/block/${device}/loop/backing_file`, 'utf8').startsWith(base);
    } catch {
      // It has none, or was let go of just now.
      return false;
    }
  });
}

it('copies what is in a file, its holes too, and never over another', async () => {
  writeFileSync(at('from'), '');
  truncateSync(at('from'), 300 * MB);
  const file = await open(at('from'), 'r+');
  await file.write(randomBytes(3 * MB), 0, 3 * MB, 5 * MB);
  await file.write(Buffer.from('end'), 0, 3, 200 * MB);
  await file.close();
  await doKernelSteps([{ do: 'copy', from: at('from'), to: at('to') }]);
  execFileSync('cmp', [at('from'), at('to')]);
  expect(statSync(at('to')).blocks * 512).toBeLessThan(4 * MB);
  await expect(doKernelSteps([{ do: 'copy', from: at('from'), to: at('to') }])).rejects.toThrow('copy: make');
});

it('mounts many images at once, each a filesystem of its own that goes without a trace', async () => {
  const templates = new DiskTemplates(at('templates'));
  await templates.prepare();
  const names = Array.from({ length: 12 }, (_, index) => String(index));
  await templates.use({ imageBytes: 8 * MB, inodes: 1024 }, (template) =>
    Promise.all(
      names.map(async (name) => {
        mkdirSync(at(name));
        await doKernelSteps([
          { do: 'copy', from: template, to: at(`${name}.img`) },
          { do: 'loop', image: at(`${name}.img`), to: at(name) },
        ]);
        writeFileSync(join(at(name), 'own'), name);
      }),
    ),
  );
  expect(names.map((name) => readFileSync(join(at(name), 'own'), 'utf8'))).toEqual(names);
  expect(devices()).toHaveLength(12);
  await unmountBelow(base);
  await expect.poll(() => devices()).toEqual([]);
  execFileSync('e2fsck', ['-f', '-n', at('3.img')], { stdio: 'ignore' });
});

it('keeps no loop device for an image that can’t be mounted', async () => {
  writeFileSync(at('image'), '');
  truncateSync(at('image'), MB);
  mkdirSync(at('to'));
  await expect(doKernelSteps([{ do: 'loop', image: at('image'), to: at('to') }])).rejects.toThrow('loop: mount');
  await expect.poll(() => devices()).toEqual([]);
});
