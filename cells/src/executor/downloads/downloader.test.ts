import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { type Clock, systemClock } from '@rivera/kit/clock';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { firstFile } from '../first-file.js';
import { Lifetime } from '../lifetime.js';
import { tarOf, tgzOf } from './archives-for-tests.js';
import { Downloader, type DownloaderSettings } from './downloader.js';
import { TestServer } from './server-for-tests.js';

/** Time for everything but waiting between attempts. */
const impatient: Clock = { ...systemClock, sleep: async () => {} };
const never = new AbortController().signal;

let directory: string;
let server: TestServer;
let lifetime: Lifetime;
let downloader: Downloader;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'downloads-'));
  server = await TestServer.open();
  await open();
});
afterEach(async () => {
  await close();
  await server.close();
  await rm(directory, { recursive: true, force: true });
});

async function open(changes: Partial<DownloaderSettings> = {}, inUse: string[] = []): Promise<void> {
  lifetime = new Lifetime(impatient);
  downloader = new Downloader(
    {
      directory,
      connectTimeoutMs: 1000,
      idleTimeoutMs: 300,
      totalTimeoutMs: 5000,
      attempts: 4,
      retryBaseMs: 500,
      retryMaxMs: 5000,
      maxBytes: 100_000,
      maxCacheBytes: 100_000,
      maxUnpackedBytes: 100_000,
      maxConcurrent: 5,
      ...changes,
    },
    lifetime,
  );
  await downloader.start(new Set(inUse));
}

async function close(): Promise<void> {
  await lifetime.end();
  await downloader.close();
}

const request = (changes: Partial<Parameters<Downloader['withArchive']>[0]> = {}) => ({
  url: `${server.url}/app.tgz`,
  cacheKey: '',
  checksumAlgorithm: '',
  checksumValue: '',
  ...changes,
});

/** Downloads; the content of the archive's first file, and what was transferred. */
async function get(changes: Parameters<typeof request>[0] = {}, signal = never): Promise<string> {
  let content = '';
  const bytes = await downloader.withArchive(request(changes), signal, async (tar: Readable) => {
    const file = await firstFile(tar);
    for await (const chunk of file?.content ?? []) content += chunk.toString();
  });
  return `${content} (${bytes > 0 ? 'fetched' : 'cached'})`;
}

const cached = async (): Promise<string[]> =>
  (await readdir(join(directory, 'cache'))).map((name) => name.split('.').at(-1) ?? '').sort();

it('fetches without a key every time and leaves nothing', async () => {
  const body = await tgzOf({ name: 'a', content: 'hello' });
  server.serve(() => ({ body, etag: '"1"' }));
  expect(await get()).toBe('hello (fetched)');
  expect(await get()).toBe('hello (fetched)');
  await lifetime.end();
  expect(await readdir(join(directory, 'uncached'))).toEqual([]);
});

it('asks whether a cached copy is current, and takes a new one when it is not', async () => {
  let version = 'one';
  const bodies = { one: await tarOf({ name: 'a', content: 'one' }), two: await tarOf({ name: 'a', content: 'two' }) };
  server.serve(() => ({ body: bodies[version as 'one' | 'two'], etag: `"${version}"` }));
  expect(await get({ cacheKey: 'k' })).toBe('one (fetched)');
  expect(await get({ cacheKey: 'k' })).toBe('one (cached)');
  version = 'two';
  expect(await get({ cacheKey: 'k' })).toBe('two (fetched)');
  expect(server.seen.map(({ headers }) => headers['if-none-match'])).toEqual([undefined, '"one"', '"one"']);
  await close();
  expect(await cached()).toEqual(['data', 'json']);
});

it('has its cache again after it was killed, and drops what is half-written', async () => {
  const body = await tarOf({ name: 'a', content: 'one' });
  server.serve(() => ({ body, etag: '"1"' }));
  await get({ cacheKey: 'k' });
  await writeFile(join(directory, 'cache', 'deadbeef.tmp'), 'half');
  await open();
  expect(await get({ cacheKey: 'k' })).toBe('one (cached)');
  await close();
  expect(await cached()).toEqual(['data', 'json']);
  const [data] = (await readdir(join(directory, 'cache'))).filter((name) => name.endsWith('.data'));
  await writeFile(join(directory, 'cache', data ?? ''), 'short');
  await open();
  expect(await get({ cacheKey: 'k' })).toBe('one (fetched)');
});

it('uses an answer without ETag and Last-Modified once', async () => {
  const body = await tarOf({ name: 'a', content: 'one' });
  server.serve(() => ({ body }));
  expect(await get({ cacheKey: 'k' })).toBe('one (fetched)');
  expect(await get({ cacheKey: 'k' })).toBe('one (fetched)');
  await expect(downloader.sharedDirectory(request({ cacheKey: 'k' }), never)).rejects.toThrow(
    'Not cacheable directory: ETag and Last-Modified were missing from response',
  );
  await expect(downloader.sharedDirectory(request(), never)).rejects.toThrow(
    'Not cacheable directory: cache key is missing',
  );
  await close();
  expect(await cached()).toEqual([]);
});

it('fetches once for all who want the same at the same time', async () => {
  const body = await tarOf({ name: 'a', content: 'one' });
  let bodies = 0;
  server.serve(() => {
    bodies++;
    return { body, etag: '"1"' };
  });
  const all = await Promise.all(Array.from({ length: 5 }, () => get({ cacheKey: 'k' })));
  expect(new Set(all)).toEqual(new Set(['one (fetched)']));
  expect(bodies).toBe(1);
});

it('unpacks once for all containers, and keeps what is in use when a new version comes', async () => {
  let version = 1;
  const bodies = [
    await tarOf(),
    await tgzOf({ name: 'v', content: 'one' }),
    await tgzOf({ name: 'v', content: 'two' }),
  ];
  server.serve(() => ({ body: bodies[version] as Buffer, etag: `"${version}"` }));
  const first = await downloader.sharedDirectory(request({ cacheKey: 'k' }), never);
  const second = await downloader.sharedDirectory(request({ cacheKey: 'k' }), never);
  expect(second.path).toBe(first.path);
  expect(second.fetchedBytes).toBe(0);
  version = 2;
  const third = await downloader.sharedDirectory(request({ cacheKey: 'k' }), never);
  expect(await readFile(join(first.path, 'v'), 'utf8')).toBe('one');
  expect(await readFile(join(third.path, 'v'), 'utf8')).toBe('two');
  // A new life, in which a container still has the first version mounted and nothing else.
  await open({}, [first.name]);
  expect(await readFile(join(first.path, 'v'), 'utf8')).toBe('one');
  await close();
  await open();
  await expect(readFile(join(first.path, 'v'))).rejects.toThrow('ENOENT');
  expect(await readFile(join(third.path, 'v'), 'utf8')).toBe('two');
  const held = await downloader.sharedDirectory(request({ cacheKey: 'k' }), never);
  expect(held.fetchedBytes).toBe(0);
  held.release();
});

it('evicts what has not been used for longest, never what is in use, and lets nothing in that does not fit', async () => {
  const body = await tarOf({ name: 'a', content: 'x'.repeat(1000) });
  server.serve(() => ({ body, etag: '"1"' }));
  await close();
  await open({ maxCacheBytes: body.length * 2 + 1500 });
  const held = await downloader.sharedDirectory(request({ cacheKey: 'a' }), never);
  await get({ cacheKey: 'b' });
  expect(await get({ cacheKey: 'b' })).toContain('cached');
  await get({ cacheKey: 'c' });
  expect(await get({ cacheKey: 'c' })).toContain('cached');
  expect(await get({ cacheKey: 'b' })).toContain('fetched');
  expect(await readdir(held.path)).toEqual(['a']);
  await expect(downloader.sharedDirectory(request({ cacheKey: 'b' }), never)).rejects.toThrow('is full');
  held.release();
  (await downloader.sharedDirectory(request({ cacheKey: 'b' }), never)).release();
});

it('verifies checksums, also of cached copies, and does not try again when they are wrong', async () => {
  const body = await tarOf({ name: 'a', content: 'one' });
  server.serve(() => ({ body, etag: '"1"' }));
  const right = createHash('sha256').update(body).digest('hex');
  expect(await get({ checksumAlgorithm: 'SHA256', checksumValue: right })).toContain('one');
  expect(await get({ cacheKey: 'k', checksumAlgorithm: 'sha256', checksumValue: right })).toContain('fetched');
  expect(await get({ cacheKey: 'k', checksumAlgorithm: 'sha256', checksumValue: right })).toContain('cached');
  // Image layers may name it.
  const long = createHash('sha512').update(body).digest('hex');
  expect(await get({ cacheKey: 'k', checksumAlgorithm: 'sha512', checksumValue: long })).toContain('cached');
  const [data] = (await readdir(join(directory, 'cache'))).filter((name) => name.endsWith('.data'));
  await writeFile(join(directory, 'cache', data ?? ''), Buffer.alloc(body.length));
  expect(await get({ cacheKey: 'k', checksumAlgorithm: 'sha256', checksumValue: right })).toContain('one (fetched)');
  server.seen.length = 0;
  const wrong = 'a'.repeat(64);
  await expect(get({ checksumAlgorithm: 'sha256', checksumValue: wrong })).rejects.toThrow(
    `Checksum failed: 'checksum mismatch', expected '${wrong}', got '${right}'`,
  );
  expect(server.seen).toHaveLength(1);
  await expect(get({ checksumAlgorithm: 'crc', checksumValue: 'x' })).rejects.toThrow(
    "Checksum failed: 'algorithm invalid'",
  );
  await expect(get({ checksumAlgorithm: 'md5', checksumValue: 'x' })).rejects.toThrow(
    "Checksum failed: 'checksum missing or invalid'",
  );
});

it('tries four times what might go better, and once what would not', async () => {
  server.answer = (_request, response) => response.writeHead(503).end();
  await expect(get()).rejects.toThrow('Download failed: Status code 503');
  expect(server.seen).toHaveLength(4);
  server.answer = (_request, response) => response.writeHead(404).end();
  await expect(get()).rejects.toThrow('Download failed: Status code 404');
  expect(server.seen).toHaveLength(5);
  const body = await tarOf({ name: 'a', content: 'one' });
  server.answer = (_request, response) => {
    if (server.seen.length < 8)
      response.writeHead(200, { 'content-length': body.length }).write(body.subarray(0, 10), () => response.destroy());
    else response.end(body);
  };
  expect(await get()).toBe('one (fetched)');
  expect(server.seen).toHaveLength(8);
});

it('gives up on a server that falls silent, and on one that sends too much', async () => {
  await close();
  await open({ attempts: 1 });
  server.answer = (_request, response) => void response.write('x');
  await expect(get()).rejects.toThrow('Download failed');
  server.answer = (_request, response) => response.end(Buffer.alloc(100_001));
  await expect(get()).rejects.toThrow('Download failed: larger than 100000 bytes');
});

it('says nothing of signed URLs and passwords', async () => {
  await close();
  await open({ attempts: 1 });
  const url = server.url.replace('//', '//user:secret@');
  await server.close();
  const error: Error = await get({ url: `${url}/a?signature=secret` }).catch((reason) => reason);
  expect(error.message).toContain('Download failed: connect ECONNREFUSED');
  expect(error.message).not.toContain('secret');
  server = await TestServer.open();
});

it('follows redirects, with the user info for its own server only', async () => {
  const body = await tarOf({ name: 'a', content: 'one' });
  const other = await TestServer.open();
  other.serve(() => ({ body }));
  server.answer = (_request, response) => response.writeHead(302, { location: `${other.url}/there` }).end();
  expect(await get({ url: `${server.url.replace('//', '//user:pass@')}/here` })).toBe('one (fetched)');
  expect(server.seen[0]?.headers.authorization).toBe(`Basic ${Buffer.from('user:pass').toString('base64')}`);
  expect(other.seen[0]?.headers.authorization).toBeUndefined();
  await other.close();
});

it('ends at once when it is cancelled, waiting or transferring, and the next one gets its turn', async () => {
  await close();
  await open({ maxConcurrent: 1, idleTimeoutMs: 10_000 });
  const asked = new Promise<void>((resolve) => {
    server.answer = (_request, response) => {
      response.write('x');
      resolve();
    };
  });
  const [transferring, waiting] = [new AbortController(), new AbortController()];
  const first = get({}, transferring.signal);
  await asked;
  const second = get({}, waiting.signal);
  waiting.abort(new Error('second'));
  await expect(second).rejects.toThrow('second');
  transferring.abort(new Error('first'));
  await expect(first).rejects.toThrow('first');
  expect(server.seen).toHaveLength(1);
  const body = await tarOf({ name: 'a', content: 'one' });
  server.serve(() => ({ body }));
  expect(await get()).toBe('one (fetched)');
});

it('goes on for those who stay when one of those who share a download leaves', async () => {
  const body = await tarOf({ name: 'a', content: 'one' });
  let finish = (): void => {};
  const asked = new Promise<void>((resolve) => {
    server.answer = (_request, response) => {
      finish = () => response.writeHead(200, { etag: '"1"' }).end(body);
      resolve();
    };
  });
  const leaving = new AbortController();
  const first = get({ cacheKey: 'k' }, leaving.signal);
  const second = get({ cacheKey: 'k' });
  await asked;
  leaving.abort(new Error('gone'));
  finish();
  await expect(first).rejects.toThrow('gone');
  expect(await second).toBe('one (fetched)');
});

it.each<[string, string, string, (start: number) => number, (string | undefined)[]]>([
  ['goes on where a connection broke', '"1"', '"1"', (start) => start, ['rest']],
  ['begins anew where there is another version by then', '"1"', '"2"', (start) => start, ['rest']],
  ['begins anew where the version is named by its meaning', 'W/"1"', 'W/"1"', (start) => start, [undefined]],
  ['takes no part of another place', '"1"', '"1"', () => 1, ['rest', undefined]],
])('%s', async (_, before, after, startOf, ranges) => {
  const body = await tgzOf({ name: 'a', content: randomBytes(4000).toString('hex') });
  const half = Math.floor(body.length / 2);
  server.answer = ({ headers }, response) => {
    const first = server.seen.length === 1;
    response.setHeader('etag', first ? before : after);
    if (first) {
      // It falls silent half-way.
      response.writeHead(200, { 'content-length': body.length });
      response.write(body.subarray(0, half));
    } else if (headers.range !== undefined && headers['if-range'] === after) {
      const start = startOf(Number(/^bytes=(\d+)-$/.exec(headers.range)?.[1]));
      response.writeHead(206, { 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` });
      response.end(body.subarray(start));
    } else response.end(body);
  };
  const checksumValue = createHash('sha256').update(body).digest('hex');
  expect(await get({ checksumAlgorithm: 'sha256', checksumValue })).toMatch(/^[0-9a-f]{8000} \(fetched\)$/);
  const rest = `bytes=${half}-`;
  expect(server.seen.slice(1).map(({ headers }) => headers.range)).toEqual(
    ranges.map((range) => (range === 'rest' ? rest : undefined)),
  );
});
