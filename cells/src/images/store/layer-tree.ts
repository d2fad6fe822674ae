import { TarError, type TarType } from './tar-entry.js';

/** Entries, and directories that only their names speak of. */
const MAX_ENTRIES = 1_000_000;
/** As in the kernel. */
const MAX_PATH_BYTES = 4096;
/** Of all names together: they are kept in memory. */
const MAX_NAME_BYTES = 256 * 1024 * 1024;
/** Links followed before a path counts as a loop, as in the kernel. */
const MAX_LINKS = 40;
const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

/** What is to become of an entry. */
export type Admission =
  | { kind: 'place'; path: string }
  /** A link to a symlink is one more symlink. */
  | { kind: 'symlink'; path: string; target: string }
  | { kind: 'link'; path: string; target: string }
  /** It says something about lower layers, or is nothing for a container. */
  | { kind: 'nothing' };

type Node = { kind: 'directory' | 'file' } | { kind: 'symlink'; target: string };

/**
 * The tree that a layer's archive makes, kept in mind while it is unpacked, so that for each entry its real place is known before
 * anything is written: links of the layer are followed here, within the layer, and never by whoever writes. What would
 * lead outside is refused, and so is a name that is two kinds of thing.
 */
export class LayerTree {
  readonly #nodes = new Map<string, Node>();
  readonly #whiteouts = new Set<string>();
  readonly #opaque = new Set<string>();
  #count = 0;
  #nameBytes = 0;

  /** @throws TarError */
  admit({ name, type, linkname }: { name: string; type: TarType; linkname: string }): Admission {
    this.#charge(name.length + linkname.length);
    for (const path of [name, linkname])
      if (path.length > MAX_PATH_BYTES) throw new TarError(`it has a name of ${path.length} bytes`);
    const path = this.#locate(name);
    const base = path.slice(path.lastIndexOf('/') + 1);
    if (base.startsWith(WHITEOUT)) return this.#hide(path, base);
    // The container gets its devices from the runtime; those of an image would be a way to the machine's.
    if (type === 'character-device' || type === 'block-device') return { kind: 'nothing' };
    if (path === '' && type !== 'directory') throw new TarError(`its entry '${name}' has no name`);
    if (type === 'symlink') {
      if (linkname === '' || linkname.includes('\0')) throw new TarError(`its link '${name}' points nowhere`);
      this.#put(path, { kind: 'symlink', target: linkname });
      return { kind: 'symlink', path, target: linkname };
    }
    if (type !== 'link') {
      this.#put(path, { kind: type === 'directory' ? 'directory' : 'file' });
      return { kind: 'place', path };
    }
    const target = this.#locate(linkname);
    const node = this.#nodes.get(target);
    if (node === undefined || node.kind === 'directory')
      throw new TarError(`its entry '${name}' is a link to '${linkname}', which is no file of the layer`);
    this.#put(path, node);
    return node.kind === 'symlink' ? { kind: 'symlink', path, target: node.target } : { kind: 'link', path, target };
  }

  /** What of lower layers is not to be seen, once all entries are known: names, and directories that hide what they had. */
  hidden(): { whiteouts: string[]; opaque: string[] } {
    const whiteouts: string[] = [];
    const opaque = new Set(this.#opaque);
    for (const path of this.#whiteouts) {
      // It is there anew: a directory without what it had; anything else hides the old one by being there.
      const node = this.#nodes.get(path);
      if (node === undefined) whiteouts.push(path);
      else if (node.kind === 'directory') opaque.add(path);
    }
    return { whiteouts, opaque: [...opaque] };
  }

  #charge(nameBytes: number): void {
    this.#nameBytes += nameBytes;
    if (++this.#count > MAX_ENTRIES) throw new TarError(`it has more than ${MAX_ENTRIES} entries`);
    if (this.#nameBytes > MAX_NAME_BYTES) throw new TarError(`its names have more than ${MAX_NAME_BYTES} bytes`);
  }

  #hide(path: string, base: string): Admission {
    const parent = path.slice(0, Math.max(0, path.length - base.length - 1));
    if (base === OPAQUE) this.#opaque.add(parent);
    // Others of this kind are notes of a filesystem to itself.
    else if (!base.startsWith(WHITEOUT + WHITEOUT)) {
      const name = base.slice(WHITEOUT.length);
      if (name === '' || name === '.' || name === '..') throw new TarError(`it removes '${name}', which is no name`);
      this.#whiteouts.add(parent === '' ? name : `${parent}/${name}`);
    }
    return { kind: 'nothing' };
  }

  #put(path: string, node: Node): void {
    const before = this.#nodes.get(path);
    if (before !== undefined && before.kind !== node.kind)
      throw new TarError(`it has '${path}' twice, as a ${before.kind} and as a ${node.kind}`);
    this.#nodes.set(path, node);
  }

  /** Where a name leads when the links above it are followed; its last part is not followed. Empty: the layer itself. */
  #locate(name: string): string {
    if (name.includes('\0')) throw new TarError('it has a name with a NUL');
    if (name.split('/').includes('..')) throw new TarError(`its entry '${name}' leads outside`);
    const parts = partsOf(name);
    const here: string[] = [];
    let links = 0;
    for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
      // Only targets of links have these; above the layer there is nothing.
      if (part === '..') {
        here.pop();
        continue;
      }
      here.push(part);
      if (parts.length === 0) break;
      const path = here.join('/');
      const node = this.#nodes.get(path);
      if (node?.kind === 'file') throw new TarError(`its entry '${name}' is below a file`);
      if (node === undefined) {
        this.#charge(path.length);
        this.#nodes.set(path, { kind: 'directory' });
      }
      if (node?.kind !== 'symlink') continue;
      if (++links > MAX_LINKS) throw new TarError(`its entry '${name}' leads through more than ${MAX_LINKS} links`);
      if (node.target.startsWith('/')) here.length = 0;
      else here.pop();
      parts.unshift(...partsOf(node.target));
    }
    return here.join('/');
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}
