import { LayerTree } from './layer-tree.js';
import { type TarEntry, TarError } from './tar-entry.js';
import { readTar } from './tar-reader.js';
import { END_OF_TAR, tarHeader, tarPadding } from './tar-writer.js';

/** What a layer is, besides its files. */
export interface LayerFacts {
  /** On disk, roughly. */
  bytes: number;
  /** Nothing of lower layers is to be seen. The kernel wants this said by leaving them out. */
  opaqueRoot: boolean;
}

/** Headers, long names and padding of the most entries: what an archive may have beside its files. */
const MAX_OVERHEAD_BYTES = 4 * 1024 ** 3;
const FILE_BLOCK = 4096;
const ENTRY_BYTES = 256;
const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();
const OPAQUE_XATTRS: [string, Buffer][] = [['trusted.overlay.opaque', Buffer.from('y')]];
/** Those of the layer that the machine may take over; others could speak to its overlays or its security modules. */
const XATTRS = /^(?:user\.|security\.capability$)/;

/**
 * Turns a layer's archive into one that makes an overlay's lower directory when `tar` unpacks it into an empty directory: names
 * are real places inside, what is removed from lower layers is said in the kernel's way, and what a layer may not have is gone.
 * @throws TarError
 */
export async function* overlayTar(
  source: AsyncIterable<Buffer>,
  o: { maxBytes: number; facts: LayerFacts },
): AsyncGenerator<Buffer> {
  const { facts, maxBytes } = o;
  const tree = new LayerTree();
  const directories = new Map<string, TarEntry>();
  const charge = (bytes: number): void => {
    facts.bytes += ENTRY_BYTES + Math.ceil(bytes / FILE_BLOCK) * FILE_BLOCK;
    if (facts.bytes > maxBytes) throw new TarError(`it unpacks to more than ${maxBytes} bytes`);
  };
  for await (const { content, ...entry } of readTar(atMost(source, maxBytes + MAX_OVERHEAD_BYTES))) {
    const admission = tree.admit(entry);
    charge(entry.size);
    if (admission.kind === 'nothing') continue;
    const made = { ...entry, name: `./${admission.path}`, linkname: '', xattrs: kept(entry) };
    if (admission.kind === 'place') {
      if (entry.type === 'directory') directories.set(admission.path, made);
      yield tarHeader(made);
      yield* content;
      yield tarPadding(entry.size);
    } else if (admission.kind === 'symlink') {
      yield tarHeader({ ...made, type: 'symlink', size: 0, linkname: admission.target });
    } else yield tarHeader({ ...made, type: 'link', size: 0, linkname: `./${admission.target}`, xattrs: NO_XATTRS });
  }
  const { whiteouts, opaque } = tree.hidden();
  for (const path of whiteouts) {
    charge(0);
    yield tarHeader({ ...plain(path), type: 'character-device' });
  }
  facts.opaqueRoot = opaque.includes('');
  for (const path of opaque) {
    if (path === '') continue;
    const directory = directories.get(path) ?? { ...plain(path), type: 'directory', mode: 0o755 };
    yield tarHeader({ ...directory, xattrs: new Map([...directory.xattrs, ...OPAQUE_XATTRS]) });
  }
  yield END_OF_TAR;
}

/** A few bytes can be packed that unpack to headers, attributes or an end without end, of which no file tells. */
async function* atMost(source: AsyncIterable<Buffer>, bytes: number): AsyncGenerator<Buffer> {
  let seen = 0;
  for await (const chunk of source) {
    seen += chunk.length;
    if (seen > bytes) throw new TarError(`it unpacks to more than ${bytes} bytes`);
    yield chunk;
  }
}

function kept({ xattrs }: TarEntry): ReadonlyMap<string, Buffer> {
  return new Map([...xattrs].filter(([name]) => XATTRS.test(name)));
}

function plain(path: string): Omit<TarEntry, 'type'> {
  return { name: `./${path}`, mode: 0, uid: 0, gid: 0, mtime: 0, size: 0, linkname: '', xattrs: NO_XATTRS };
}
