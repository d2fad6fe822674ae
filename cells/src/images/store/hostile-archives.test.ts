import { expect, it } from 'vitest';
import { type LayerFacts, overlayTar } from './overlay-tar.js';
import { BLOCK, checksumOf, paddingOf } from './tar-entry.js';
import { END_OF_TAR, tarHeader } from './tar-writer.js';

const plain = { mode: 0o644, uid: 0, gid: 0, mtime: 0, size: 0, linkname: '', xattrs: new Map<string, Buffer>() };
const file = (name: string, size = 0) =>
  Buffer.concat([tarHeader({ ...plain, name, type: 'file', size }), Buffer.alloc(size + paddingOf(size))]);

/** Attributes of the entry that follows, as whoever makes the archive writes them. */
function attributes(records: Record<string, string>, flag = 'x'): Buffer {
  const content = Buffer.concat(Object.entries(records).map(([key, value]) => record(key, value)));
  const header = tarHeader({ ...plain, name: 'attributes', type: 'file', size: content.length });
  header.write(flag, 156, 'latin1');
  header.write(`${checksumOf(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return Buffer.concat([header, content, Buffer.alloc(paddingOf(content.length))]);
}

function record(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length > length) length++;
  return Buffer.from(`${length}${rest}`, 'latin1');
}

/** What becomes of an archive, in words; the pieces are made as they are read. */
async function outcome(pieces: Iterable<Buffer>, maxBytes = 1_000_000): Promise<string> {
  const facts: LayerFacts = { bytes: 0, opaqueRoot: false };
  async function* source(): AsyncGenerator<Buffer> {
    yield* pieces;
    yield END_OF_TAR;
  }
  try {
    for await (const _ of overlayTar(source(), { maxBytes, facts }));
  } catch (error) {
    return (error as Error).message;
  }
  return 'taken';
}

it.each(['abc', '-100000256', '1.5', '1e300', '', ' 5', '99999999999999999999'])(
  'a size of "%s" is none, and does not count against others',
  async (size) => {
    expect(await outcome([attributes({ size }), file('a'), file('b', 100_000)], 1000)).toBe(
      'it has damaged attributes',
    );
  },
);

it('numbers are taken as they are meant', async () => {
  const good = { size: '0', uid: '3000000', gid: '0', mtime: '-1.5' };
  expect(await outcome([attributes(good), file('a')])).toBe('taken');
  for (const [key, value] of Object.entries({ uid: '-1', gid: 'x', mtime: 'NaN' }))
    expect(await outcome([attributes({ [key]: value }), file('a')])).toBe('it has damaged attributes');
  // The size is the entry's, and not that of a name which precedes it.
  expect(await outcome([attributes({ size: '512' }), attributes({ path: 'b' }), file('a', 512)])).toBe('taken');
});

it('attributes that never come to an entry are not collected', async () => {
  const megabyte = 'v'.repeat(1024 * 1024);
  function* flood() {
    for (let index = 0; index < 10_000; index++) yield attributes({ [`SCHILY.xattr.user.${index}`]: megabyte });
  }
  expect(await outcome(flood())).toMatch(/^it has a name and attributes of \d{7} bytes$/);
});

it('what no file tells of is bounded too', async () => {
  const block = Buffer.alloc(64 * 1024 * 1024);
  function* endless() {
    yield END_OF_TAR;
    for (let index = 0; index < 1_000; index++) yield block;
  }
  expect(await outcome(endless())).toMatch(/^it unpacks to more than \d+ bytes$/);
});

it.each([
  ['name', { path: `${'d/'.repeat(40_000)}f` }],
  ['target', { linkpath: 'x'.repeat(4097) }],
])('a %s that the kernel would not take is refused before it is looked at', async (_what, long) => {
  expect(await outcome([attributes(long), file('a')])).toMatch(/^it has a name of \d+ bytes$/);
});

it('directories that only names speak of count like others', async () => {
  const deep = (index: number) =>
    Array.from({ length: 700 }, (_, part) => `${(index * 700 + part).toString(36)}`).join('/');
  function* maze() {
    for (let index = 0; index < 2_000; index++) {
      const path = deep(index);
      yield attributes({ path });
      yield file('x');
    }
  }
  expect(await outcome(maze(), 1e9)).toMatch(/^its names have more than \d+ bytes$/);
});

it('an archive has whole blocks', () => {
  expect(attributes({ path: 'x' }).length % BLOCK).toBe(0);
});
