import { posix } from 'node:path';

/** An archive that can't be unpacked. Its text is fit for users. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
}

export type EntryType = 'file' | 'directory' | 'symlink' | 'link';

/** One entry of an archive whose place has been checked. `content` must be read, or the reader moves on, before the next one. */
export interface ArchiveEntry {
  /** Relative, without `.` and `..`; empty for the root. */
  path: string;
  type: EntryType;
  /** Target of a symlink; of a hard link, relative to the root. */
  linkname: string;
  mode: number;
  modifiedAt: Date;
  /** Bytes of content. */
  size: number;
  content: AsyncIterable<Buffer>;
}

const MAX_ENTRIES = 1_000_000;

/**
 * Says for each entry of an archive where it lands, and refuses what could land elsewhere: absolute names, `..`, names that go
 * through a link that the same archive made, hard links to the outside, devices. A symlink may point anywhere, since nothing
 * is ever unpacked through it and only the container follows it.
 */
export class EntryGuard {
  /** Symlinks made so far; nothing may be unpacked through them. */
  readonly #symlinks = new Set<string>();
  #count = 0;

  /** The entry's path relative to the root, without `.` parts; empty for the root itself. @throws ArchiveError */
  admit(entry: { name: string; type: string; linkname?: string | null }): {
    path: string;
    type: EntryType;
    linkname: string;
  } {
    if (++this.#count > MAX_ENTRIES) throw new ArchiveError(`the archive has more than ${MAX_ENTRIES} entries`);
    const type = entryType(entry);
    const path = this.#confined(entry.name, 'entry');
    if (path === '' && type !== 'directory') throw new ArchiveError(`the archive's entry '${entry.name}' has no name`);
    let linkname = entry.linkname ?? '';
    if (type === 'link') linkname = this.#confined(linkname, 'link target');
    if (type === 'symlink') {
      if (linkname === '' || linkname.includes('\0'))
        throw new ArchiveError(`the archive's symlink '${entry.name}' points nowhere`);
      this.#symlinks.add(path);
    } else if (type === 'link' && this.#symlinks.has(linkname)) {
      this.#symlinks.add(path);
    } else this.#symlinks.delete(path);
    return { path, type, linkname };
  }

  #confined(name: string, what: string): string {
    if (name.includes('\0')) throw new ArchiveError(`the archive's ${what} has a NUL in its name`);
    if (name.startsWith('/')) throw new ArchiveError(`the archive's ${what} '${name}' is absolute`);
    if (name.split('/').includes('..')) throw new ArchiveError(`the archive's ${what} '${name}' leaves the archive`);
    const path = posix.normalize(name).replace(/\/+$/, '').replace(/^\.$/, '');
    for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
      if (this.#symlinks.has(path.slice(0, slash)))
        throw new ArchiveError(`the archive's ${what} '${name}' goes through a link`);
    }
    return path;
  }
}

function entryType(entry: { name: string; type: string }): EntryType {
  switch (entry.type) {
    case 'file':
    case 'contiguous-file':
      return 'file';
    case 'directory':
    case 'symlink':
    case 'link':
      return entry.type;
    default:
      throw new ArchiveError(`the archive's entry '${entry.name}' is a ${entry.type}, which is not allowed`);
  }
}
