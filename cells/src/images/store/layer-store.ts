import { renameSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import { SingleFlight } from '@rivera/kit/single-flight';
import pLimit from 'p-limit';
import { syncDirectory } from '../../kernel/sync-directory.js';
import { ImageError } from '../image-error.js';
import type { LayerDescriptor } from '../registry/manifest.js';
import { toDisk } from './sync.js';
import { unpackLayer } from './unpack-layer.js';

/** A layer that stays as long as somebody holds it. */
export interface HeldLayer {
  /** Below the store's directory of layers; short, since the kernel's list of layers is. */
  path: string;
  opaqueRoot: boolean;
  release(): void;
}

export interface LayerStoreOptions {
  directory: string;
  /** What all layers together may have on disk; more only while they are used. */
  maxBytes: number;
  maxLayerBytes: number;
  clock: Clock;
  log: Logger;
  /** Of the programs that unpack. */
  env: NodeJS.ProcessEnv;
  /** Paths of the layers that containers have mounted, now, whoever mounted them. */
  mounted: () => Promise<ReadonlySet<string>>;
}

/** What is kept of a layer, in a file beside its tree. */
interface LayerNote {
  digest: string;
  diffId: string;
  bytes: number;
  opaqueRoot: boolean;
}

interface KeptLayer extends LayerNote {
  name: string;
  lastUsedMs: number;
  holders: number;
}

/** Fetched and unpacked at once, of all images. */
const CONCURRENT_LAYERS = 3;
/** Of 127 layers the names have to fit into a page; a clash is noticed, as the note has all of the digest. */
const NAME_LENGTH = 24;
const TREE = 't';
const NOTE = 'layer.json';

/**
 * Unpacked layers, by digest, each once. A layer is made in a folder that the next start empties, and appears under its name when it is
 * whole and on the disk. Which of them containers use is not written down but asked of the kernel.
 */
export class LayerStore {
  readonly #layers = new Map<string, KeptLayer>();
  readonly #flights: SingleFlight<KeptLayer>;
  readonly #limit = pLimit(CONCURRENT_LAYERS);
  readonly #work = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();
  #collecting: Promise<void> | undefined;

  constructor(private readonly options: LayerStoreOptions) {
    this.#flights = new SingleFlight({
      hand(layer, callers) {
        layer.holders += callers;
      },
      takeBack(layer) {
        layer.holders--;
      },
    });
  }

  /** Where the layers' paths begin. */
  get root(): string {
    return join(this.options.directory, 'layers');
  }

  get #temporary(): string {
    return join(this.options.directory, 'tmp');
  }

  /** Throws away what is half made, and takes up what is whole. Call once, first, and after the earlier agent's programs have ended. */
  async start(): Promise<void> {
    await rm(this.#temporary, { recursive: true, force: true });
    // Programs of images with set-user-id bits are nobody's business outside of containers.
    for (const dir of [this.options.directory, this.root, this.#temporary])
      await mkdir(dir, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.root)) {
      const layer = await this.#readNote(name);
      if (layer) this.#layers.set(name, layer);
      else await rm(join(this.root, name), { recursive: true, force: true });
    }
    await this.collect();
  }

  has({ digest }: { digest: string }): boolean {
    return this.#layers.has(nameOf(digest));
  }

  /**
   * The layer, held; made first when it isn't there. Several who want the same wait for one to make it, those with other
   * credentials until they can tell whether they have to make it themselves.
   * @throws ImageError; the signal's reason when it was aborted
   */
  async acquire(
    layer: LayerDescriptor & { diffId: string },
    o: {
      image: string;
      /** Equal for those who may share a download's failure. */
      purpose: string;
      signal: AbortSignal;
      download: (path: string, signal: AbortSignal) => Promise<void>;
    },
  ): Promise<HeldLayer> {
    const name = nameOf(layer.digest);
    const work = async (cut: AbortSignal): Promise<KeptLayer> => {
      const signal = AbortSignal.any([cut, this.#closing.signal]);
      return this.#layers.get(name) ?? this.#track(this.#limit(() => this.#make(name, layer, { ...o, signal })));
    };
    const kept = await this.#flights.run(name, { purpose: o.purpose, signal: o.signal, work });
    let held = true;
    const release = (): void => {
      if (held) kept.holders--;
      held = false;
    };
    try {
      if (kept.digest !== layer.digest || kept.diffId !== layer.diffId) {
        const text = `image ${o.image}: layer ${layer.digest} unpacks to ${kept.diffId}, not to ${layer.diffId} as its image says`;
        throw new ImageError('digest-mismatch', text);
      }
      const now = this.options.clock.now();
      kept.lastUsedMs = now;
      await utimes(join(this.root, name, NOTE), now / 1000, now / 1000);
    } catch (error) {
      release();
      throw error;
    }
    return { path: join(name, TREE), opaqueRoot: kept.opaqueRoot, release };
  }

  /** Removes layers that nobody uses, the longest unused first, until the rest fits. */
  collect(): Promise<void> {
    this.#collecting ??= this.#track(this.#collect()).finally(() => {
      this.#collecting = undefined;
    });
    return this.#collecting;
  }

  /** Cuts what is under way; resolves when nothing is left running. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the layer store was closed'));
    await Promise.allSettled(this.#work);
  }

  /** undefined: the disk has lost what was written there. */
  async #readNote(name: string): Promise<KeptLayer | undefined> {
    const path = join(this.root, name, NOTE);
    try {
      const note = JSON.parse(await readFile(path, 'utf8')) as LayerNote;
      return { ...note, name, lastUsedMs: (await stat(path)).mtimeMs, holders: 0 };
    } catch (error) {
      this.options.log.error({ err: error, path }, 'a layer is damaged and will be fetched again');
      return undefined;
    }
  }

  async #make(
    name: string,
    layer: LayerDescriptor & { diffId: string },
    o: { image: string; signal: AbortSignal; download: (path: string, signal: AbortSignal) => Promise<void> },
  ): Promise<KeptLayer> {
    const { maxLayerBytes, env, clock } = this.options;
    const { image, signal } = o;
    const { digest, diffId } = layer;
    signal.throwIfAborted();
    const temporary = await mkdtemp(join(this.#temporary, `${name}.`));
    try {
      const packed = join(temporary, 'packed');
      const whole = join(temporary, 'layer');
      const tree = join(whole, TREE);
      await mkdir(tree, { recursive: true, mode: 0o755 });
      await o.download(packed, signal);
      const unpacking = { into: tree, name: image, maxBytes: maxLayerBytes, signal, env };
      const { bytes, opaqueRoot } = await unpackLayer({ ...layer, path: packed }, unpacking);
      const note: LayerNote = { digest, diffId, bytes, opaqueRoot };
      await writeFile(join(whole, NOTE), JSON.stringify(note), { mode: 0o600 });
      await toDisk(whole, env);
      signal.throwIfAborted();
      await rename(whole, join(this.root, name));
      await syncDirectory(this.root);
      const kept = { ...note, name, lastUsedMs: clock.now(), holders: 0 };
      this.#layers.set(name, kept);
      return kept;
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }

  async #collect(): Promise<void> {
    const { maxBytes, clock, mounted, log } = this.options;
    let total = [...this.#layers.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    if (total <= maxBytes) return;
    const startedAtMs = clock.now();
    const used = await mounted();
    const unused = [...this.#layers.values()].filter(({ name }) => !used.has(join(name, TREE)));
    for (const { name, bytes, digest } of unused.sort((a, b) => a.lastUsedMs - b.lastUsedMs)) {
      if (total <= maxBytes) return;
      const layer = this.#layers.get(name);
      // Who took it since the kernel was asked may have mounted it and let go already.
      if (!layer || layer.holders > 0 || layer.lastUsedMs >= startedAtMs) continue;
      // In one go with the look at its holders, so that nobody can take it in between.
      const leaving = join(this.#temporary, `${name}.gone`);
      renameSync(join(this.root, name), leaving);
      this.#layers.delete(name);
      total -= bytes;
      log.info({ digest, bytes }, 'a layer that nobody uses was removed');
      await rm(leaving, { recursive: true, force: true });
    }
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#work.add(work);
    const done = () => this.#work.delete(work);
    work.then(done, done);
    return work;
  }
}

function nameOf(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1).slice(0, NAME_LENGTH);
}
