import { execFileSync } from 'node:child_process';
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf, type FakeEntry, layerTar } from '../testing/fake-image.js';
import { END_OF_TAR, tarHeader } from './tar-writer.js';
import { unpackLayer } from './unpack-layer.js';

let folder: string;
let into: string;
/** What a hostile layer would like to change. */
let outside: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'unpack-layer-'));
  into = join(folder, 'in/to');
  outside = join(folder, 'outside');
  await mkdir(into, { recursive: true });
  await mkdir(outside);
  await writeFile(join(outside, 'file'), 'untouched');
});
afterEach(async () => {
  expect(await readdir(outside)).toEqual(['file']);
  expect(await readFile(join(outside, 'file'), 'utf8')).toBe('untouched');
  expect(await readdir(join(folder, 'in'))).toEqual(['to']);
  await rm(folder, { recursive: true, force: true });
});

async function unpack(
  tar: Buffer | FakeEntry[],
  o: {
    compression?: 'none' | 'gzip' | 'zstd';
    diffId?: string;
    maxBytes?: number;
    signal?: AbortSignal;
    into?: string;
    env?: NodeJS.ProcessEnv;
  } = {},
) {
  const plain = Array.isArray(tar) ? await layerTar(tar) : tar;
  const { compression = 'none' } = o;
  const packed = {
    none: () => plain,
    gzip: () => gzipSync(plain),
    zstd: () => execFileSync('zstd', ['--stdout', '-'], { input: plain }),
  }[compression]();
  const path = join(folder, 'layer');
  await writeFile(path, packed);
  const layer = { path, compression, diffId: o.diffId ?? digestOf(plain), digest: 'sha256:abc' };
  const { maxBytes = 100_000_000, signal = new AbortController().signal } = o;
  return unpackLayer(layer, { into: o.into ?? into, name: 'r/app:1', maxBytes, signal, env: o.env ?? process.env });
}

const inside = (path: string) => join(into, path);
const modeOf = async (path: string) => ((await lstat(inside(path))).mode & 0o7777).toString(8);
const entry = { mode: 0o644, uid: 0, gid: 0, mtime: 0, size: 0, linkname: '', xattrs: new Map() };

describe('a layer', () => {
  it('keeps owners, modes, times, links and long names', async () => {
    const long = `${'d'.repeat(90)}/${'f'.repeat(120)}`;
    await unpack([
      { name: 'dir/', mode: 0o1777, uid: 1000, gid: 1001 },
      { name: 'dir/set', mode: 0o4755, uid: 1000, gid: 1001, content: 'x' },
      { name: 'dir/closed', type: 'directory', mode: 0o555 },
      { name: 'dir/closed/file', content: 'y', mode: 0o600 },
      { name: 'hard', type: 'link', linkname: 'dir/set' },
      { name: 'absolute', type: 'symlink', linkname: '/etc/passwd' },
      { name: 'up', type: 'symlink', linkname: '../../outside', uid: 7 },
      { name: 'pipe', type: 'fifo' },
      { name: 'täst', content: 'z' },
      { name: long, content: 'long' },
    ]);
    expect([await modeOf('dir'), await modeOf('dir/set'), await modeOf('dir/closed')]).toEqual(['1777', '4755', '555']);
    expect(await lstat(inside('dir/set'))).toMatchObject({
      uid: 1000,
      gid: 1001,
      nlink: 2,
      mtimeMs: 1_000_000_000_000,
    });
    expect(await readlink(inside('absolute'))).toBe('/etc/passwd');
    expect(await readlink(inside('up'))).toBe('../../outside');
    expect((await lstat(inside('up'))).uid).toBe(7);
    expect((await lstat(inside('pipe'))).isFIFO()).toBe(true);
    expect(await readFile(inside('täst'), 'utf8')).toBe('z');
    expect(await readFile(inside(long), 'utf8')).toBe('long');
  });

  it('keeps large ids, and of its attributes what is harmless', async () => {
    // As the kernel has CAP_NET_RAW; no text.
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
    const xattrs = new Map([
      ['security.capability', capability],
      ['user.note', Buffer.from([0xff, 0x0a, 0x3d])],
      ['trusted.overlay.redirect', Buffer.from('/etc')],
    ]);
    await unpack(
      Buffer.concat([tarHeader({ ...entry, name: 'ping', type: 'file', uid: 3_000_000_000, xattrs }), END_OF_TAR]),
    );
    expect((await lstat(inside('ping'))).uid).toBe(3_000_000_000);
    expect(attribute('ping', 'security.capability')).toBe(capability.toString('hex'));
    expect(attribute('ping', 'user.note')).toBe('ff0a3d');
    expect(attribute('ping', 'trusted.overlay.redirect')).toBeUndefined();
  });

  it.each(['none', 'gzip', 'zstd'] as const)('may be packed as %s', async (compression) => {
    await unpack([{ name: 'a', content: 'a'.repeat(200_000) }], { compression });
    expect((await lstat(inside('a'))).size).toBe(200_000);
  });

  it('says what it removes in the way of overlays', async () => {
    const facts = await unpack([
      { name: 'gone/.wh.file', content: '' },
      { name: '.wh.whole', content: '' },
      { name: 'new/', mode: 0o700, uid: 5 },
      { name: 'new/.wh..wh..opq', content: '' },
      { name: 'new/file', content: 'x' },
      { name: '.wh.again', content: '' },
      { name: 'again/file', content: 'x' },
      { name: '.wh.same', content: '' },
      { name: 'same', content: 'x' },
      { name: '.wh..wh.aufs', content: '' },
    ]);
    expect((await readdir(into)).sort()).toEqual(['again', 'gone', 'new', 'same', 'whole']);
    for (const path of ['gone/file', 'whole']) {
      expect((await lstat(inside(path))).isCharacterDevice()).toBe(true);
      expect((await lstat(inside(path))).rdev).toBe(0);
    }
    expect([attribute('new', OPAQUE), attribute('again', OPAQUE), attribute('gone', OPAQUE)]).toEqual([
      '79',
      '79',
      undefined,
    ]);
    expect(await modeOf('new')).toBe('700');
    expect((await lstat(inside('new'))).uid).toBe(5);
    expect(await readdir(inside('new'))).toEqual(['file']);
    expect(facts.opaqueRoot).toBe(false);
    expect((await unpack([{ name: '.wh..wh..opq', content: '' }])).opaqueRoot).toBe(true);
  });
});

const OPAQUE = 'trusted.overlay.opaque';

it('a machine without zstd says so', async () => {
  const bin = join(folder, 'bin');
  await mkdir(bin);
  for (const program of ['sh', 'tar']) await symlink(`/bin/${program}`, join(bin, program));
  await expect(unpack([{ name: 'a' }], { compression: 'zstd', env: { PATH: bin } })).rejects.toThrow(
    "zstd can't be started",
  );
});

describe('a hostile layer', () => {
  it.each<[string, FakeEntry[]]>([
    ['leads outside', [{ name: '../outside/file', content: 'x' }]],
    ['leads outside', [{ name: 'a/../../outside/file', content: 'x' }]],
    ['leads outside', [{ name: 'link', type: 'link', linkname: '../outside/file' }]],
    ['no file of the layer', [{ name: 'link', type: 'link', linkname: '/etc/passwd' }]],
    ['as a symlink and as a directory', [{ name: 'a', type: 'symlink', linkname: '/' }, { name: 'a/' }]],
    [
      'as a file and as a symlink',
      [
        { name: 'a', content: '' },
        { name: 'a', type: 'symlink', linkname: '/' },
      ],
    ],
    [
      'below a file',
      [
        { name: 'a', content: '' },
        { name: 'a/b', content: 'x' },
      ],
    ],
    [
      'through more than 40 links',
      [
        { name: 'a', type: 'symlink', linkname: 'a/a' },
        { name: 'a/b', content: 'x' },
      ],
    ],
    ['which is no name', [{ name: '.wh...', content: '' }]],
  ])('that %s is refused', async (why, entries) => {
    await expect(unpack(entries)).rejects.toMatchObject({
      kind: 'damaged',
      message: expect.stringMatching(new RegExp(`^image r/app:1: layer sha256:abc can't be unpacked: .*${why}`)),
    });
  });

  it('finds its own links leading nowhere but into itself', async () => {
    await unpack([
      { name: 'up', type: 'symlink', linkname: '../../outside' },
      { name: 'up/file', content: 'x' },
      { name: 'absolute', type: 'symlink', linkname: outside },
      { name: 'absolute/file', content: 'y' },
      { name: 'twice', type: 'link', linkname: 'absolute' },
      { name: 'twice/file', content: 'z' },
      { name: 'root', type: 'symlink', linkname: '/' },
      { name: 'root/root/etc/shadow', content: 's' },
      { name: 'absolute/.wh.other', content: '' },
      { name: '/etc/absolute', content: 'a' },
    ]);
    expect(await readFile(inside('outside/file'), 'utf8')).toBe('x');
    expect(await readFile(join(into, outside, 'file'), 'utf8')).toBe('z');
    expect(await readFile(inside('etc/shadow'), 'utf8')).toBe('s');
    expect(await readFile(inside('etc/absolute'), 'utf8')).toBe('a');
    expect(await readlink(inside('twice'))).toBe(outside);
  });

  it('brings no devices', async () => {
    await unpack([
      { name: 'dev/sda', type: 'block-device', devmajor: 8, devminor: 0 },
      { name: 'dev/mem', type: 'character-device', devmajor: 1, devminor: 1 },
      { name: 'whiteout', type: 'character-device' },
      { name: 'a', content: '' },
    ]);
    expect((await readdir(into)).sort()).toEqual(['a']);
  });

  it('is not unpacked beyond measure, nor when it is none, broken off, or another one', async () => {
    await expect(unpack([{ name: 'a', content: 'a'.repeat(50_000) }], { maxBytes: 20_000 })).rejects.toThrow(
      'more than 20000',
    );
    const tar = await layerTar([{ name: 'a', content: 'a'.repeat(50_000) }]);
    await expect(unpack(tar.subarray(0, 20_000))).rejects.toThrow('it is broken off');
    await expect(unpack(Buffer.alloc(1024, 'x'))).rejects.toThrow('no tar archive');
    await expect(unpack([{ name: 'a' }], { diffId: digestOf(tar) })).rejects.toMatchObject({ kind: 'digest-mismatch' });
    await writeFile(join(folder, 'layer'), 'no gzip');
    const layer = { path: join(folder, 'layer'), diffId: digestOf(tar), digest: 'sha256:abc' };
    const o = { into, name: 'r/app:1', maxBytes: 1000, env: process.env, signal: new AbortController().signal };
    await expect(unpackLayer({ ...layer, compression: 'gzip' }, o)).rejects.toMatchObject({ kind: 'damaged' });
    await expect(unpackLayer({ ...layer, compression: 'zstd' }, o)).rejects.toThrow(/zstd: .*unsupported format/);
    await expect(unpack(tar, { into: join(folder, 'nowhere') })).rejects.toThrow(/tar: .*nowhere.*No such file/);
    await expect(unpack(tar, { signal: AbortSignal.abort(new Error('stop')) })).rejects.toThrow('stop');
  });
});

/** As hex, since it need not be text. */
function attribute(path: string, name: string): string | undefined {
  const script =
    'import os,sys\ntry: print(os.getxattr(sys.argv[1], sys.argv[2], follow_symlinks=False).hex())\nexcept OSError: print("-")';
  const found = execFileSync('python3', ['-c', script, inside(path), name], { encoding: 'utf8' }).trim();
  return found === '-' ? undefined : found;
}
