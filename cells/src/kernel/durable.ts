import { open, readdir, readFile, rename, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from './sync-directory.js';

/** Writes a file so that after a crash it is either as before or complete, and after this returns it survives power loss. */
export async function writeDurably(path: string, content: string): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** Renames, durably, within one directory. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncDirectory(dirname(to));
}

/** Content of a file; undefined when there is none. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** What is in a directory; nothing when there is none. That it can't be read doesn't mean that it is empty. */
export async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
}

/** For the end of a message: that a disk is full, where it is. What others write there fails without saying so. */
export async function noRoomAt(path: string): Promise<string> {
  const room = await statfs(path).catch(() => undefined);
  if (!room) return '';
  // Filesystems that make inodes as they need them count none.
  const isFull = room.bavail === 0 || (room.files > 0 && room.ffree === 0);
  return isFull ? `: no space is left at ${path}` : '';
}

/** Whether an error says that a file or process isn't there. */
export function isMissing(error: unknown): boolean {
  return hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR') || hasCode(error, 'ESRCH');
}

/** Whether an error carries a code of the system. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}
