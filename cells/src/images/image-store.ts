import { setMaxListeners } from 'node:events';
import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import { ImageError } from './image-error.js';
import { PullProgress } from './pull-progress.js';
import { authorizationKey, type Credentials } from './registry/auth.js';
import type { ImageDefaults } from './registry/image-config.js';
import { type ImageReference, parseImageReference } from './registry/reference.js';
import { defaultRegistrySettings, RegistryClient, type ResolvedImage } from './registry/registry-client.js';
import { type HeldLayer, LayerStore } from './store/layer-store.js';

/** An image on this cell, whose layers stay until it is released. */
export interface PulledImage {
  /** Lower directories of an overlay, topmost first, relative to `root`. */
  layers: string[];
  root: string;
  defaults: ImageDefaults;
  release(): void;
}

export interface ImageStoreOptions {
  directory: string;
  /** What all unpacked layers together may have on disk; more only while containers use them. */
  maxBytes: number;
  /** `HOST` or `HOST:PORT` of registries without TLS, besides this machine's own. */
  insecureRegistries: readonly string[];
  clock: Clock;
  log: Logger;
  env: NodeJS.ProcessEnv;
  mounted: () => Promise<ReadonlySet<string>>;
}

/** Whom a pull is for. */
export interface PullRequest {
  credentials?: Credentials | undefined;
  /** Told in sentences how it goes. */
  progress?: ((text: string) => void) | undefined;
  signal: AbortSignal;
}

const MAX_UNPACKED_LAYER_BYTES = 40_000_000_000;

/** Images of registries on this cell. */
export class ImageStore {
  readonly #client: RegistryClient;
  readonly #layers: LayerStore;

  constructor(private readonly options: ImageStoreOptions) {
    const { insecureRegistries, clock } = options;
    this.#client = new RegistryClient({ ...defaultRegistrySettings, insecureRegistries }, clock);
    this.#layers = new LayerStore({ ...options, maxLayerBytes: MAX_UNPACKED_LAYER_BYTES });
  }

  /** Call once, first, and after programs of an earlier agent have ended. */
  start(): Promise<void> {
    return this.#layers.start();
  }

  /**
   * Fetches what is missing of an image. The registry is asked each time, as the tag may mean another image by now, and whoever asks
   * may not be allowed to have it.
   * @throws ImageError; the signal's reason when it was aborted
   */
  async pull(rootFs: string, request: PullRequest): Promise<PulledImage> {
    const image = parseImageReference(rootFs);
    const resolved = await this.#client.resolve({ ...request, image, credentials: request.credentials });
    if (resolved.layers.length === 0) throw new ImageError('unsupported', `image ${image.name}: it has no layers`);
    const progress = new PullProgress({ name: image.name, clock: this.options.clock, tell: request.progress });
    progress.began({
      layers: resolved.layers.length,
      here: resolved.layers.filter((layer) => this.#layers.has(layer)).length,
    });
    const held = await this.#acquireAll(image, resolved, { request, progress });
    progress.ended();
    void this.collect();
    return {
      layers: visible(held),
      root: this.#layers.root,
      defaults: resolved.defaults,
      release: () => releaseAll(held),
    };
  }

  /** Makes room when there is too much, as after a container is gone. Never rejects. */
  async collect(): Promise<void> {
    await this.#layers.collect().catch((error: unknown) => {
      this.options.log.error({ err: error }, 'unused layers could not be removed');
    });
  }

  /** Cuts what is under way. */
  close(): Promise<void> {
    return this.#layers.close();
  }

  /** Holds all layers, lowest first; or none, after the first failure. */
  async #acquireAll(
    image: ImageReference,
    { layers }: ResolvedImage,
    { request, progress }: { request: PullRequest; progress: PullProgress },
  ): Promise<HeldLayer[]> {
    const { credentials } = request;
    const purpose = authorizationKey({ ...image, credentials });
    const others = new AbortController();
    const signal = AbortSignal.any([request.signal, others.signal]);
    // One for each layer, which is bounded.
    setMaxListeners(0, signal);
    const onBytes = (bytes: number): void => progress.received(bytes);
    const acquiring = layers.map(async (layer) => {
      try {
        const download = (path: string, cut: AbortSignal): Promise<void> =>
          this.#client.downloadLayer(layer, { image, credentials, signal: cut, path, onBytes });
        const acquired = await this.#layers.acquire(layer, { image: image.name, purpose, signal, download });
        progress.layerDone();
        return acquired;
      } catch (error) {
        others.abort(error);
        throw error;
      }
    });
    const settled = await Promise.allSettled(acquiring);
    const held = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    if (held.length === layers.length) return held;
    releaseAll(held);
    // Why the first one failed; the others were cut.
    throw others.signal.reason;
  }
}

function releaseAll(held: readonly HeldLayer[]): void {
  for (const layer of held) layer.release();
}

/** Topmost first, down to a layer that hides all below it. The same layer twice would be refused by the kernel, and shows nothing new. */
function visible(held: readonly HeldLayer[]): string[] {
  const paths: string[] = [];
  for (const { path, opaqueRoot } of [...held].reverse()) {
    if (!paths.includes(path)) paths.push(path);
    if (opaqueRoot) break;
  }
  return paths;
}
