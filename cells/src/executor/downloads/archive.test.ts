import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extract } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TestEntry, tarOf, tgzOf, zipOf } from './archives-for-tests.js';
import { archiveAsTar, unpackInto } from './unpack.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'archive-'));
  await mkdir(join(directory, 'root'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const options = { maxBytes: 1000, signal: new AbortController().signal };

async function unpack(archive: Buffer, changes: Partial<typeof options> = {}): Promise<number> {
  await writeFile(join(directory, 'archive'), archive);
  return unpackInto(join(directory, 'archive'), join(directory, 'root'), { ...options, ...changes });
}

async function asTar(archive: Buffer): Promise<string[]> {
  await writeFile(join(directory, 'archive'), archive);
  const found: string[] = [];
  const tar = archiveAsTar(join(directory, 'archive'), options);
  const entries = extract();
  tar.on('error', (error) => entries.destroy(error));
  tar.pipe(entries);
  for await (const entry of entries) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    found.push(
      [
        entry.header.type,
        entry.header.name,
        entry.header.mode?.toString(8),
        entry.header.linkname ?? '',
        Buffer.concat(chunks),
      ]
        .join(' ')
        .trim(),
    );
  }
  return found;
}

const good: TestEntry[] = [
  { name: './bin/', type: 'directory', mode: 0o755 },
  { name: './bin/app', content: 'hello', mode: 0o755 },
  { name: 'deep/er/file', content: 'x' },
  { name: 'current', type: 'symlink', linkname: '/opt/anywhere' },
];

describe.each([
  ['tar', () => tarOf(...good)],
  ['tgz', () => tgzOf(...good)],
  ['zip', async () => zipOf(...good)],
])('%s', (_format, make) => {
  it('is told by its content and unpacked', async () => {
    expect(await unpack(await make())).toBe(6);
    expect(await readFile(join(directory, 'root/bin/app'), 'utf8')).toBe('hello');
    expect((await lstat(join(directory, 'root/bin/app'))).mode & 0o777).toBe(0o755);
    expect(await readFile(join(directory, 'root/deep/er/file'), 'utf8')).toBe('x');
    expect(await readlink(join(directory, 'root/current'))).toBe('/opt/anywhere');
  });

  it('becomes a tar stream', async () => {
    expect(await asTar(await make())).toEqual([
      'directory bin/ 755',
      'file bin/app 755  hello',
      'file deep/er/file 644  x',
      expect.stringMatching(/^symlink current \d+ \/opt\/anywhere$/),
    ]);
  });
});

describe('what could land elsewhere is refused', () => {
  const link: TestEntry = { name: 'out', type: 'symlink', linkname: '/tmp' };
  it.each<[string, TestEntry[], string]>([
    ['absolute names', [{ name: '/etc/passwd', content: 'x' }], "entry '/etc/passwd' is absolute"],
    ['names that climb', [{ name: 'a/../../b', content: 'x' }], "entry 'a/../../b' leaves the archive"],
    ['names through a link', [link, { name: 'out/file', content: 'x' }], "entry 'out/file' goes through a link"],
    [
      'names through a second name of a link',
      [link, { name: 'too', type: 'link', linkname: 'out' }, { name: 'too/file', content: 'x' }],
      "entry 'too/file' goes through a link",
    ],
    [
      'hard links to the outside',
      [{ name: 'a', type: 'link', linkname: '../../etc/passwd' }],
      "link target '../../etc/passwd' leaves the archive",
    ],
    [
      'hard links through a link',
      [link, { name: 'a', type: 'link', linkname: 'out/passwd' }],
      "link target 'out/passwd' goes through a link",
    ],
    ['what is neither file nor directory nor link', [{ name: 'pipe', type: 'fifo' }], "entry 'pipe' is a fifo"],
  ])('%s', async (_what, entries, reason) => {
    const archive = await tarOf(...entries);
    await expect(unpack(archive)).rejects.toThrow(reason);
    await expect(asTar(archive)).rejects.toThrow(reason);
    expect(await readdir(join(directory))).toEqual(['archive', 'root']);
  });

  it('in zip archives too', async () => {
    await expect(unpack(zipOf({ name: '../evil', content: 'x' }))).rejects.toThrow('../evil');
    await expect(unpack(zipOf(link, { name: 'out/file', content: 'x' }))).rejects.toThrow('goes through a link');
  });
});

it('a file takes the place of a link instead of being written through it', async () => {
  await writeFile(join(directory, 'victim'), 'untouched');
  await unpack(
    await tarOf({ name: 'a', type: 'symlink', linkname: join(directory, 'victim') }, { name: 'a', content: 'mine' }),
  );
  expect(await readFile(join(directory, 'victim'), 'utf8')).toBe('untouched');
  expect(await readFile(join(directory, 'root/a'), 'utf8')).toBe('mine');
});

it('loses set-user-id bits, as what is unpacked is shared', async () => {
  await unpack(await tarOf({ name: 'su', content: 'x', mode: 0o4755 }));
  expect((await lstat(join(directory, 'root/su'))).mode & 0o7777).toBe(0o755);
});

it('has bounds, and says when it is no archive or a damaged one', async () => {
  await expect(unpack(await tarOf({ name: 'big', content: 'x'.repeat(1001) }))).rejects.toThrow(
    'unpacks to more than 1000 bytes',
  );
  await expect(unpack(Buffer.from('plain text'))).rejects.toThrow('unknown archive format');
  const whole = await tgzOf({ name: 'a', content: 'hello' });
  await expect(unpack(whole.subarray(0, whole.length - 20))).rejects.toThrow('the archive is damaged');
  const tar = await tarOf({ name: 'a', content: 'x'.repeat(900) });
  await expect(unpack(tar.subarray(0, 700))).rejects.toThrow('the archive is damaged');
});
