import { z } from 'zod';
import { ImageError } from '../image-error.js';
import { isDigest } from './digest.js';

/** A part of an image, by its digest. */
export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

export type Compression = 'none' | 'gzip' | 'zstd';

/** A layer and what it is packed with. */
export interface LayerDescriptor extends Descriptor {
  compression: Compression;
}

/** What a manifest says: the image itself, or which images there are for which machines. */
export type Manifest =
  | { kind: 'image'; config: Descriptor; layers: LayerDescriptor[] }
  | { kind: 'index'; manifests: (Descriptor & { platform?: Platform | undefined })[] };

export interface Platform {
  os: string;
  architecture: string;
  variant?: string | undefined;
}

/** The kernel takes some 4 KiB of mount options, which is what bounds the layers of an overlay; other runtimes have this limit too. */
export const MAX_LAYERS = 127;

const OCI = 'application/vnd.oci.image.';
const DOCKER = 'application/vnd.docker.';
const INDEX_TYPES = [`${OCI}index.v1+json`, `${DOCKER}distribution.manifest.list.v2+json`];
const IMAGE_TYPES = [`${OCI}manifest.v1+json`, `${DOCKER}distribution.manifest.v2+json`];
const CONFIG_TYPES = [`${OCI}config.v1+json`, `${DOCKER}container.image.v1+json`];
const LAYER_TYPES: Readonly<Record<string, Compression>> = {
  [`${OCI}layer.v1.tar`]: 'none',
  [`${OCI}layer.v1.tar+gzip`]: 'gzip',
  [`${OCI}layer.v1.tar+zstd`]: 'zstd',
  [`${OCI}layer.nondistributable.v1.tar`]: 'none',
  [`${OCI}layer.nondistributable.v1.tar+gzip`]: 'gzip',
  [`${OCI}layer.nondistributable.v1.tar+zstd`]: 'zstd',
  [`${DOCKER}image.rootfs.diff.tar`]: 'none',
  [`${DOCKER}image.rootfs.diff.tar.gzip`]: 'gzip',
  [`${DOCKER}image.rootfs.diff.tar.zstd`]: 'zstd',
};

/** What a registry is asked for; without these it answers in formats of ten years ago. */
export const ACCEPTED_MANIFESTS = [...IMAGE_TYPES, ...INDEX_TYPES].join(', ');

const descriptor = z.object({
  mediaType: z.string(),
  digest: z.string().refine(isDigest, 'is no digest'),
  size: z.number().int().min(0),
});
const platform = z.object({ os: z.string(), architecture: z.string(), variant: z.string().optional() });
const imageManifest = z.object({ config: descriptor, layers: z.array(descriptor).max(MAX_LAYERS) });
const indexManifest = z.object({ manifests: z.array(descriptor.extend({ platform: platform.optional() })).max(1000) });

/**
 * Reads a manifest. What it says of itself goes before what the registry says of it, as only the former is covered by the digest.
 * @throws ImageError `unsupported`, `damaged`
 */
export function parseManifest(content: Buffer, served: { mediaType: string; name: string }): Manifest {
  const json = parseJson(content, served.name, 'manifest');
  const own = (json as { mediaType?: unknown } | null)?.mediaType;
  const mediaType = typeof own === 'string' ? own : served.mediaType;
  if (INDEX_TYPES.includes(mediaType)) return { kind: 'index', ...checked(indexManifest, json, served.name) };
  if (!IMAGE_TYPES.includes(mediaType)) throw unsupportedType(served.name, mediaType);
  const { config, layers } = checked(imageManifest, json, served.name);
  if (!CONFIG_TYPES.includes(config.mediaType)) throw unsupportedType(served.name, config.mediaType);
  return {
    kind: 'image',
    config,
    layers: layers.map((layer) => {
      const compression = LAYER_TYPES[layer.mediaType];
      if (compression === undefined) throw unsupportedType(served.name, layer.mediaType);
      return { ...layer, compression };
    }),
  };
}

export function parseJson(content: Buffer, name: string, what: string): unknown {
  try {
    return JSON.parse(content.toString('utf8'));
  } catch (cause) {
    throw new ImageError('damaged', `image ${name}: its ${what} is no JSON`, { cause });
  }
}

export function checked<T>(schema: z.ZodType<T>, json: unknown, name: string): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ImageError('damaged', `image ${name}: '${issue?.path.join('.')}' of its description: ${issue?.message}`);
}

function unsupportedType(name: string, mediaType: string): ImageError {
  return new ImageError('unsupported', `image ${name}: media type '${mediaType}' is not supported`);
}
