import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
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

  it('looks into the data folder that the other commands use', async () => {
    const [cwd, home] = [join(dir, 'checkout'), join(dir, 'home')];
    mkdirSync(join(home, '.rivera/rootfs/of-home'), { recursive: true });
    const list = async () => (await runHere(['rootfs', 'list'], { cwd, home })).stdout;
    expect(await list()).toBe('preloaded:of-home\n');
    mkdirSync(join(cwd, '.rivera/rootfs/of-checkout'), { recursive: true });
    expect(await list()).toBe('preloaded:of-checkout\n');
    writeFileSync(join(home, '.rivera/client.json'), '{}');
    expect(await list()).toBe('preloaded:of-home\n');
    writeFileSync(join(cwd, '.rivera/client.json'), '{}');
    expect(await list()).toBe('preloaded:of-checkout\n');
    const said = await runHere(['rootfs', 'list'], { cwd, home, env: { RIVERA_CONTEXT: dir } });
    expect(said).toMatchObject({ stdout: '', stderr: `No root filesystems found in ${join(dir, 'rootfs')}.\n` });
  });

  it('knows what it can build', async () => {
    const said = await runHere(['rootfs', 'build', 'windows', '--dir', dir]);
    expect(said.exitCode).toBe(EXIT.usage);
    expect(said.stderr).toMatch(/busybox.*debian/);
  });
});
