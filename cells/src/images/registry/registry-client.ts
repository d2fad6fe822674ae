import type { Clock } from '@rivera/kit/clock';
import { ImageError } from '../image-error.js';
import { type Asker, AuthorizedRequests } from './authorized-request.js';
import { downloadBlob } from './blob-download.js';
import { digestMismatch, isDigest } from './digest.js';
import { type HttpSettings, readAll } from './http.js';
import { type ImageDefaults, parseImageConfig } from './image-config.js';
import { ACCEPTED_MANIFESTS, type Descriptor, type LayerDescriptor, type Manifest, parseManifest } from './manifest.js';
import { forPlatform, isFor, machinePlatform, noPlatform, shown } from './platform.js';
import { type RetrySettings, withRetries } from './retry.js';

export interface RegistrySettings extends HttpSettings, RetrySettings {
  /** The largest packed layer that is taken. */
  maxLayerBytes: number;
}

/** What has to be fetched for an image, and how its programs are run. */
export interface ResolvedImage {
  /** Lowest first. `diffId` is the digest of what is unpacked. */
  layers: (LayerDescriptor & { diffId: string })[];
  defaults: ImageDefaults;
}

const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
const MAX_CONFIG_BYTES = 8 * 1024 * 1024;
/** An index may lead to another one; more than this is no image but a maze. */
const MAX_INDEX_DEPTH = 3;

export const defaultRegistrySettings: RegistrySettings = {
  insecureRegistries: [],
  answerTimeoutMs: 30_000,
  idleTimeoutMs: 30_000,
  attempts: 4,
  retryBaseMs: 500,
  maxLayerBytes: 10_000_000_000,
};

/** Reads images of registries (version 2 of the registry's API). Everything that it hands out was checked against its digest. */
export class RegistryClient {
  readonly #requests: AuthorizedRequests;

  constructor(
    private readonly settings: RegistrySettings,
    private readonly clock: Clock,
  ) {
    this.#requests = new AuthorizedRequests(settings, clock);
  }

  /** What an image is made of, on this machine. @throws ImageError; the signal's reason when it was aborted */
  async resolve(asker: Asker, machine = machinePlatform()): Promise<ResolvedImage> {
    const { image } = asker;
    let manifest = await this.#manifest(image.wanted, asker);
    for (let depth = 0; manifest.kind === 'index'; depth++) {
      if (depth === MAX_INDEX_DEPTH)
        throw new ImageError('unsupported', `image ${image.name}: more than ${MAX_INDEX_DEPTH} indexes lead to it`);
      manifest = await this.#manifest(forPlatform(manifest.manifests, { machine, name: image.name }).digest, asker);
    }
    const content = await this.#config(manifest.config, asker);
    const config = parseImageConfig(content, { name: image.name, layers: manifest.layers.length });
    if (config.architecture !== '' && !isFor(config, machine)) throw noPlatform(image.name, machine, [shown(config)]);
    const layers = manifest.layers.map((layer, index) => ({ ...layer, diffId: config.diffIds[index] ?? '' }));
    for (const { digest, size } of layers) {
      if (size > this.settings.maxLayerBytes)
        throw new ImageError(
          'too-large',
          `image ${image.name}: layer ${digest} has ${size} bytes, of ${this.settings.maxLayerBytes} at most`,
        );
    }
    return { layers, defaults: config.defaults };
  }

  /**
   * Fetches a packed layer into a file, which holds it whole afterwards. An attempt goes on where the one before broke off.
   * @throws ImageError; the signal's reason when it was aborted
   */
  downloadLayer(layer: Descriptor, o: Asker & { path: string; onBytes: (bytes: number) => void }): Promise<void> {
    const attempts = { ...this.settings, clock: this.clock, signal: o.signal, name: o.image.name };
    const request = (headers: Record<string, string>) => this.#requests.get(`blobs/${layer.digest}`, headers, o);
    return downloadBlob(layer, { ...o, name: o.image.name, attempts, request });
  }

  #manifest(wanted: string, asker: Asker): Promise<Manifest> {
    const { name } = asker.image;
    return this.#retried(asker, async () => {
      const answer = await this.#requests.get(`manifests/${wanted}`, { accept: ACCEPTED_MANIFESTS }, asker);
      if (answer.status === 404) await answer.discard();
      if (answer.status === 404) throw new ImageError('not-found', `image ${name}: the registry has no such image`);
      if (answer.status !== 200) throw unexpected(name, answer.status);
      const content = await readAll(answer, MAX_MANIFEST_BYTES);
      const told = answer.headers.get('docker-content-digest');
      const expected = isDigest(wanted) ? wanted : told !== null && isDigest(told) ? told : undefined;
      checkDigest(content, { name, what: 'manifest', expected });
      const mediaType = answer.headers.get('content-type')?.split(';')[0]?.trim() ?? '';
      return parseManifest(content, { mediaType, name });
    });
  }

  #config({ digest, size }: Descriptor, asker: Asker): Promise<Buffer> {
    const { name } = asker.image;
    if (size > MAX_CONFIG_BYTES)
      throw new ImageError('too-large', `image ${name}: its configuration has ${size} bytes`);
    return this.#retried(asker, async () => {
      const answer = await this.#requests.get(`blobs/${digest}`, {}, asker);
      if (answer.status !== 200) throw unexpected(name, answer.status);
      const content = await readAll(answer, MAX_CONFIG_BYTES);
      checkDigest(content, { name, what: 'configuration', expected: digest });
      return content;
    });
  }

  #retried<T>({ image, signal }: Asker, work: () => Promise<T>): Promise<T> {
    return withRetries(work, { ...this.settings, clock: this.clock, signal, name: image.name });
  }
}

function checkDigest(content: Buffer, o: { name: string; what: string; expected: string | undefined }): void {
  const found = o.expected === undefined ? undefined : digestMismatch(content, o.expected);
  if (found !== undefined)
    throw new ImageError('digest-mismatch', `image ${o.name}: digest of its ${o.what} is ${found}, not ${o.expected}`);
}

function unexpected(name: string, status: number): ImageError {
  return new ImageError('unreachable', `image ${name}: its registry answered with status ${status}`);
}
