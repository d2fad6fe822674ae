import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { unary } from './dial.js';
import { EchoClient, EchoService, echo, TestBed } from './test-bed.js';

let bed: TestBed;
let dir: string;
beforeEach(async () => {
  bed = await TestBed.create();
  dir = await mkdtemp(join(tmpdir(), 'rivera-listener-'));
});
afterEach(async () => {
  await bed.close();
  await rm(dir, { recursive: true });
});

async function serveAt(address: string) {
  const host = await bed.host();
  host.add(EchoService, echo, { default: ['client'] });
  await host.listen(address);
  return host;
}

describe('a socket in the file system', () => {
  test('is as good as a port, for its owner alone, and gone afterwards', async () => {
    const path = join(dir, 's');
    const host = await serveAt(`unix:${path}`);
    const client = bed.dialAt(EchoClient, `unix:${path}`, await bed.identity('client', 'ada'));
    expect(await unary(client, client.ask, 'hello')).toBe('hello');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const stranger = bed.dialAt(EchoClient, `unix:${path}`, await bed.identity('reader', 'eve'));
    await expect(unary(stranger, stranger.ask, 'x')).rejects.toMatchObject({ reason: 'PERMISSION_DENIED' });
    await host.close(100);
    expect(existsSync(path)).toBe(false);
  });

  test('that a killed program left is taken over, one that is served or no socket is not', async () => {
    const path = join(dir, 's');
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', script]);
    expect(existsSync(path)).toBe(true);
    await serveAt(`unix:${path}`);
    await expect(serveAt(`unix:${path}`)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    const file = join(dir, 'file');
    await writeFile(file, 'mine');
    await expect(serveAt(`unix:${file}`)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect((await stat(file)).size).toBe(4);
  });
});
