import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { runHere } from '../testing/terminal.js';

const dir = mkdtempSync(join(tmpdir(), 'rivera-rootfs-'));
afterAll(() => rm(dir, { recursive: true, force: true }));

describe('rivera rootfs', () => {
  it('builds one, once, and lists it', async () => {
    expect((await runHere(['rootfs', 'list', '--dir', dir])).stdout).toBe('');
    const built = await runHere(['rootfs', 'build', 'busybox', '--dir', dir]);
    expect(built).toMatchObject({ exitCode: EXIT.ok });
    expect(built.stderr).toContain('preloaded:busybox');
    expect((await runHere(['rootfs', 'build', 'busybox', '--dir', dir])).stderr).toContain('is as it should be');
    expect((await runHere(['rootfs', 'list', '--dir', dir])).stdout).toBe('preloaded:busybox\n');
    const [line] = (await runHere(['rootfs', 'list', '--json', '--dir', dir])).stdout.trim().split('\n');
    expect(JSON.parse(line ?? '')).toEqual({ name: 'busybox', rootFs: 'preloaded:busybox' });
  });

  it('knows what it can build', async () => {
    const said = await runHere(['rootfs', 'build', 'windows', '--dir', dir]);
    expect(said.exitCode).toBe(EXIT.usage);
    expect(said.stderr).toMatch(/busybox.*debian/);
  });
});
