import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRunning, type ProcessIdentity, processIdentity } from './process-identity.js';

/** Another living program has the folder. */
export class FolderInUseError extends Error {
  override name = 'FolderInUseError';
}

function ownerFile(folder: string): string {
  return join(folder, 'owner.json');
}

/**
 * Writes into the folder that this process owns it, unless a living one does.
 * @throws FolderInUseError naming the owner
 */
export async function claimFolder(folder: string): Promise<void> {
  const path = ownerFile(folder);
  const self = JSON.stringify(processIdentity(process.pid));
  for (let attempt = 0; attempt < 3; attempt += 1) {
    try {
      await writeFile(path, self, { flag: 'wx', mode: 0o600 });
      return;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
    const owner = await readIdentity(path);
    if (owner !== undefined && isRunning(owner)) {
      throw new FolderInUseError(`the database in ${folder} is in use by process ${owner.pid}`);
    }
    await rm(path, { force: true });
  }
  throw new FolderInUseError(`several programs are starting on ${folder} at once`);
}

export async function disclaimFolder(folder: string): Promise<void> {
  await rm(ownerFile(folder), { force: true });
}

async function readIdentity(path: string): Promise<ProcessIdentity | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as ProcessIdentity;
  } catch {
    // Missing, or cut off by a crash: nobody's.
    return undefined;
  }
}
