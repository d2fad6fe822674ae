import { constants } from 'node:fs';
import { type FileHandle, lchown, lstat, mkdir, open, readlink } from 'node:fs/promises';
import { hasCode } from '../../../kernel/durable.js';

/** Links followed before a path counts as a loop, as in the kernel. */
const MAX_LINKS = 40;

/** A user by the container's own ids. */
interface Owner {
  uid: number;
  gid: number;
}

/**
 * Walks a path of a container from the host. Every step opens one name relative to an open directory and never through a
 * link, and links are read and resolved against the container's root, so that neither a link nor a race leads outside.
 */
export class ContainerFiles {
  /** @param root the container's root, e.g. `/proc/PID/root`: that shows its mounts too */
  constructor(
    private readonly root: string,
    private readonly o: {
      /** Host id of the container's root. */
      firstId: number;
      /**
       * Whether the root is still the container's: once its init has died, its pid may become somebody else's, who may be in no container
       * at all.
       */
      isCurrent(): boolean;
      /** Makes a directory from inside the container. */
      makeInside(path: string, owner: Owner): Promise<void>;
    },
  ) {}

  /** First `maxBytes` of a file, undefined when there is none. */
  async readText(path: string, maxBytes: number): Promise<string | undefined> {
    const file = await this.walk(path, { flags: constants.O_RDONLY | constants.O_NONBLOCK });
    if (!file) return undefined;
    try {
      if (!(await file.stat()).isFile()) return undefined;
      const { buffer, bytesRead } = await file.read(Buffer.alloc(maxBytes), 0, maxBytes, 0);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  }

  /** Whether there is anything at a path. */
  async kind(path: string): Promise<'file' | 'directory' | undefined> {
    const found = await this.walk(path, { flags: O_PATH });
    if (!found) return undefined;
    try {
      return (await found.stat()).isDirectory() ? 'directory' : 'file';
    } finally {
      await found.close();
    }
  }

  /** Makes a directory and those above it, owned by a user, where missing. */
  async ensureDirectory(path: string, owner: Owner): Promise<void> {
    const found = await this.walk(path, { flags: O_PATH, make: owner }).catch(async (error: unknown) => {
      // The host's root is nobody in a filesystem that knows the container's ids alone, and can't own anything there.
      if (!hasCode(error, 'EOVERFLOW')) throw error;
      await this.o.makeInside(path, owner);
      return this.walk(path, { flags: O_PATH });
    });
    if (!found) throw new Error(`${path} can't be made`);
    try {
      if (!(await found.stat()).isDirectory()) throw new Error(`${path} is not a directory`);
    } finally {
      await found.close();
    }
  }

  private async walk(path: string, o: { flags: number; make?: Owner }): Promise<FileHandle | undefined> {
    const stack = [await open(this.root, constants.O_RDONLY | constants.O_DIRECTORY)];
    try {
      // Asked now that it is open: from here on it stays what it is.
      if (!this.o.isCurrent()) throw new Error('the container has ended');
      const names = path.split('/').filter((name) => name !== '' && name !== '.');
      let links = 0;
      for (let name = names.shift(); name !== undefined; name = names.shift()) {
        const here = stack.at(-1);
        if (!here) return undefined;
        if (name === '..') {
          if (stack.length > 1) await stack.pop()?.close();
          continue;
        }
        const step = `/proc/self/fd/${here.fd}/${name}`;
        const stat = await lstat(step).catch(absent);
        if (stat?.isSymbolicLink()) {
          if (++links > MAX_LINKS) return undefined;
          const target = await readlink(step);
          if (target.startsWith('/')) for (const handle of stack.splice(1)) await handle.close();
          names.unshift(...target.split('/').filter((part) => part !== '' && part !== '.'));
          continue;
        }
        if (!stat) {
          if (!o.make) return undefined;
          await mkdir(step, 0o755);
          // Not through a link: somebody inside may have put one in its place by now.
          await lchown(step, this.o.firstId + o.make.uid, this.o.firstId + o.make.gid);
        }
        const flags = names.length > 0 ? O_PATH | constants.O_DIRECTORY : o.flags;
        const next = await open(step, flags | constants.O_NOFOLLOW).catch(absent);
        if (!next) return undefined;
        stack.push(next);
      }
      return stack.pop();
    } finally {
      await Promise.all(stack.map((handle) => handle.close()));
    }
  }
}

/** Not among Node's constants; a descriptor that names a file without opening it. */
const O_PATH = 0o10000000;

function absent(error: unknown): undefined {
  if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].some((code) => hasCode(error, code))) return undefined;
  throw error;
}
