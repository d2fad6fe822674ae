import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Resolves when all that was written to the filesystem of a path is on the disk: of a tree, file by file would take far longer. */
export async function toDisk(path: string, env: NodeJS.ProcessEnv): Promise<void> {
  await promisify(execFile)('sync', ['--file-system', path], { env });
}
