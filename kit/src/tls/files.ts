import { randomBytes } from 'node:crypto';
import { link, open, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';

/** Private keys are for their owner alone, certificates for everybody. */
export const KEY_MODE = 0o600;
export const CERTIFICATE_MODE = 0o644;

/** Replaces a file as a whole: a reader, or a crash, sees the old content or the new one. */
export async function replaceFile(file: string, content: string, mode: number): Promise<void> {
  const draft = await writeDraft(file, content, mode);
  await rename(draft, file);
}

/** Makes a file unless it exists; tells whether it did. Of two programs that try at once, one succeeds. */
export async function createFile(file: string, content: string, mode: number): Promise<boolean> {
  const draft = await writeDraft(file, content, mode);
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  } finally {
    await unlink(draft);
  }
}

/** The text of a file, or undefined when there is none. */
export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function writeDraft(file: string, content: string, mode: number): Promise<string> {
  const draft = join(file, '..', `.${randomBytes(6).toString('hex')}.tmp`);
  const handle = await open(draft, 'wx', mode);
  try {
    await handle.writeFile(content);
    // The mode given to open passes through the umask.
    await handle.chmod(mode);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return draft;
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
