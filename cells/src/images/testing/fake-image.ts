import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { type Header, pack } from 'tar-stream';

/** An entry of a layer: a directory where there is no content and no link. */
export type FakeEntry = Partial<Header> & { name: string; content?: string | Buffer };

/** A part of an image. */
export interface FakeBlob {
  mediaType: string;
  digest: string;
  content: Buffer;
}

/** An image for tests, with everything that a registry has of it. */
export interface FakeImage {
  manifest: FakeBlob;
  config: FakeBlob;
  layers: FakeBlob[];
}

const OCI = 'application/vnd.oci.image.';

export function digestOf(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

export function blob(mediaType: string, content: Buffer): FakeBlob {
  return { mediaType, digest: digestOf(content), content };
}

export async function layerTar(entries: readonly FakeEntry[]): Promise<Buffer> {
  const tar = pack();
  for (const { content, ...header } of entries) {
    const type = header.type ?? (content === undefined ? 'directory' : 'file');
    tar.entry(
      { mtime: new Date(1_000_000_000_000), mode: type === 'file' ? 0o644 : 0o755, ...header, type },
      content ?? '',
    );
  }
  tar.finalize();
  return buffer(tar as never);
}

/** An image of layers that are given as tars. */
export function fakeImage(
  tars: readonly Buffer[],
  o: { config?: object; architecture?: string; packed?: (tar: Buffer) => Buffer; layerType?: string } = {},
): FakeImage {
  const { packed = gzipSync, layerType = `${OCI}layer.v1.tar+gzip` } = o;
  const layers = tars.map((tar) => blob(layerType, packed(tar)));
  const architecture = o.architecture ?? (process.arch === 'x64' ? 'amd64' : process.arch);
  const rootfs = { type: 'layers', diff_ids: tars.map(digestOf) };
  const json = { os: 'linux', architecture, config: o.config ?? {}, rootfs };
  const config = blob(`${OCI}config.v1+json`, Buffer.from(JSON.stringify(json)));
  return { config, layers, manifest: manifestOf(config, layers) };
}

export function manifestOf(config: FakeBlob, layers: readonly FakeBlob[]): FakeBlob {
  const mediaType = `${OCI}manifest.v1+json`;
  const json = { schemaVersion: 2, mediaType, config: descriptorOf(config), layers: layers.map(descriptorOf) };
  return blob(mediaType, Buffer.from(JSON.stringify(json)));
}

/** An index of images for several platforms. */
export function indexOf(entries: readonly { image: FakeBlob; platform?: object }[]): FakeBlob {
  const mediaType = `${OCI}index.v1+json`;
  const manifests = entries.map(({ image, platform }) => ({ ...descriptorOf(image), ...(platform && { platform }) }));
  return blob(mediaType, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests })));
}

function descriptorOf({ mediaType, digest, content }: FakeBlob): object {
  return { mediaType, digest, size: content.length };
}
