import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ImageStore, type ImageStoreOptions, type PullRequest } from './image-store.js';
import { digestOf, type FakeEntry, fakeImage, layerTar } from './testing/fake-image.js';
import { FakeRegistry } from './testing/fake-registry.js';

let registry: FakeRegistry;
let directory: string;
let clock: ManualClock;
let mounted: Set<string>;
let store: ImageStore;

beforeEach(async () => {
  registry = await FakeRegistry.open();
  directory = await mkdtemp(join(tmpdir(), 'image-store-'));
  clock = new ManualClock(1_700_000_000_000);
  mounted = new Set();
  store = await open();
});
afterEach(async () => {
  await store.close();
  // Whatever happened: nothing half made is left.
  expect(await readdir(join(directory, 'tmp'))).toEqual([]);
  await registry.close();
  await rm(directory, { recursive: true, force: true });
});

async function open(options: Partial<ImageStoreOptions> = {}): Promise<ImageStore> {
  const about = { directory, clock, insecureRegistries: [], log: silentLogger, env: process.env };
  const made = new ImageStore({ ...about, maxBytes: 1e9, mounted: async () => mounted, ...options });
  await made.start();
  return made;
}

const layers = () => readdir(join(directory, 'layers'));
const pull = (rootFs: string, request: Partial<PullRequest> = {}) =>
  store.pull(rootFs, { signal: new AbortController().signal, ...request });

async function push(name: string, ...content: FakeEntry[][]): Promise<string> {
  return registry.push(name, '1', fakeImage(await Promise.all(content.map(layerTar))));
}

/** How often layers were asked for. */
const fetched = () => registry.asked.filter((url) => url.includes('/blobs/')).length;

const base: FakeEntry[] = [{ name: 'base', content: 'b'.repeat(10_000) }];

describe('images', () => {
  it('share layers, which are there once', async () => {
    const one = await pull(await push('one', base, [{ name: 'one', content: '1' }]));
    const two = await pull(await push('two', base, [{ name: 'two', content: '2' }]));
    expect(one.layers[1]).toBe(two.layers[1]);
    expect(await readFile(join(two.root, two.layers[0] ?? '', 'two'), 'utf8')).toBe('2');
    expect(await layers()).toHaveLength(3);
  });

  it('are fetched once by all who want them at the same time, and it is told how it goes', async () => {
    const rootFs = await push('one', base, [{ name: 'one', content: '1' }]);
    const told: string[] = [];
    await Promise.all([pull(rootFs, { progress: (text) => told.push(text) }), pull(rootFs), pull(rootFs)]);
    // Three configurations.
    expect(fetched()).toBe(2 + 3);
    expect(told[0]).toBe(`Downloading image ${registry.host}/one:1: 2 layers`);
    expect(told.at(-1)).toBe(`Downloaded image ${registry.host}/one:1: 2 layers, 0.0 MiB`);
    await pull(rootFs, { progress: (text) => told.push(text) });
    expect(told.at(-2)).toBe(`Downloading image ${registry.host}/one:1: 2 layers, 2 of them here already`);
    expect(fetched()).toBe(2 + 4);
  });

  it('are found by a later store', async () => {
    const rootFs = await push('one', base);
    await pull(rootFs);
    await store.close();
    store = await open();
    await pull(rootFs);
    expect(fetched()).toBe(1 + 2);
  });

  it('end above a layer that hides all below', async () => {
    const rootFs = await push('one', base, [
      { name: '.wh..wh..opq', content: '' },
      { name: 'x', content: 'x' },
    ]);
    expect((await pull(rootFs)).layers).toHaveLength(1);
    expect((await pull(await push('twice', base, [{ name: 'y', content: 'y' }], base))).layers).toHaveLength(2);
  });

  it('are refused without layers, and when they say something else of a layer than it is', async () => {
    await expect(pull(await push('empty'))).rejects.toThrow('/empty:1: it has no layers');
    const [tar, other] = [await layerTar(base), await layerTar([{ name: 'x' }])];
    const honest = fakeImage([tar]);
    const liar = fakeImage([other], { packed: () => honest.layers[0]?.content as Buffer });
    const message = expect.stringContaining(`unpacks to ${digestOf(tar)}, not to ${digestOf(other)}`);
    const rootFs = registry.push('liar', '1', liar);
    await expect(pull(rootFs)).rejects.toMatchObject({ kind: 'digest-mismatch', message });
    expect(await layers()).toEqual([]);
    await pull(registry.push('honest', '1', honest));
    await expect(pull(rootFs)).rejects.toMatchObject({ kind: 'digest-mismatch', message });
  });

  it('are not for those who may not have them, here already or not', async () => {
    const rootFs = await push('one', base);
    const basic = `Basic ${Buffer.from('me:secret').toString('base64')}`;
    registry.intercept = ({ headers }, response) => {
      if (headers.authorization === basic) return false;
      response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
      return true;
    };
    await pull(rootFs, { credentials: { username: 'me', password: 'secret' } });
    await expect(pull(rootFs)).rejects.toMatchObject({ kind: 'unauthorised' });
    await expect(pull(rootFs, { credentials: { username: 'me', password: 'x' } })).rejects.toMatchObject({
      kind: 'unauthorised',
    });
  });
});

describe('what is under way', () => {
  /** Leaves the first layer unanswered; resolves when it is asked for. The configuration comes before. */
  function stuck(): Promise<void> {
    let seen = 0;
    return new Promise((resolve) => {
      registry.intercept = ({ url }) => {
        if (!url?.includes('/blobs/') || ++seen === 1) return false;
        resolve();
        return true;
      };
    });
  }

  it('is cut when nobody wants it any more, and leaves nothing', async () => {
    const rootFs = await push('one', base);
    const waiting = stuck();
    const stop = new AbortController();
    const pulling = pull(rootFs, { signal: stop.signal });
    await waiting;
    stop.abort(new Error('stopped'));
    await expect(pulling).rejects.toThrow('stopped');
    await store.close();
    expect(await layers()).toEqual([]);
    store = await open();
    registry.intercept = () => false;
    await pull(rootFs);
  });

  it('is cut when the store is closed', async () => {
    const rootFs = await push('one', base);
    const waiting = stuck();
    const pulling = pull(rootFs);
    await waiting;
    await Promise.all([expect(pulling).rejects.toThrow('the layer store was closed'), store.close()]);
    expect(await layers()).toEqual([]);
  });

  it('and was left by an agent that died is thrown away', async () => {
    await store.close();
    await mkdir(join(directory, 'tmp', 'abc.xyz', 'layer', 't'), { recursive: true });
    await mkdir(join(directory, 'layers', 'abc', 't'), { recursive: true });
    await writeFile(join(directory, 'layers', 'abc', 'layer.json'), '{"dig');
    store = await open();
    expect(await layers()).toEqual([]);
  });
});

describe('too many layers', () => {
  const sized = (name: string) => push(name, [{ name, content: name.repeat(20_000) }]);

  it('leave, the longest unused first, unless somebody uses them', async () => {
    await store.close();
    store = await open({ maxBytes: 50_000 });
    const [a, b, c, d] = [await sized('a'), await sized('b'), await sized('c'), await sized('d')];
    const pulled = [];
    for (const rootFs of [a, b, c, d]) {
      clock.advance(1000);
      pulled.push(await pull(rootFs));
    }
    await store.collect();
    expect(await layers()).toHaveLength(4);
    const [first, second, third, fourth] = pulled.map((image) => image.layers[0]?.split('/')[0] ?? '');
    mounted.add(`${first}/t`);
    for (const image of pulled.slice(0, 3)) image.release();
    clock.advance(1000);
    await store.collect();
    // About 20 kB each: two stay, one that a container has mounted and one that is held.
    expect((await layers()).sort()).toEqual([first, fourth].sort());
    expect([second, third]).not.toContain(first);
    // Also for a store that comes later and holds nothing.
    mounted.add(`${fourth}/t`);
    await store.close();
    store = await open({ maxBytes: 1 });
    expect((await layers()).sort()).toEqual([first, fourth].sort());
    mounted.clear();
    await store.collect();
    expect(await layers()).toEqual([]);
    await pull(a);
  });
});
