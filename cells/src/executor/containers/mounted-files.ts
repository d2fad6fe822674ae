import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { File } from '@rivera/gen/rivera/recipe/v1/action';
import type { BindMount } from '../../garden/garden.js';
import type { RunRequest } from '../executor.js';
import { runActionsOf } from '../steps/build.js';

const MOUNT_POINT = '/etc/cf-service-bindings';
const MAX_BYTES = 1024 * 1024;

/** Files of a definition that can't be laid out. Its text is fit for users. */
export class MountedFilesError extends Error {
  override readonly name = 'MountedFilesError';
}

/**
 * Lays out the files that appear in the container (spec cell §31): those of the definition and those of its run actions, which all
 * processes of the container see. Undefined when there are none.
 * @throws MountedFilesError
 */
export async function layOutMountedFiles(directory: string, request: RunRequest): Promise<BindMount | undefined> {
  const actions = [request.setup, request.action, ...request.sidecars.map((sidecar) => sidecar.action)].flatMap(
    runActionsOf,
  );
  const files = [...request.container.volumeMountedFiles, ...actions.flatMap((action) => action.volumeMountedFiles)];
  if (files.length === 0) return undefined;
  const contents = checked(files);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true, mode: 0o755 });
  for (const [path, content] of contents) {
    const target = join(directory, path);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await writeFile(target, content, { flag: 'wx', mode: 0o444 });
  }
  return { source: directory, destination: MOUNT_POINT, readOnly: true };
}

export async function removeMountedFiles(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}

/** Path → content, each path below the mount point and in no other's way. */
function checked(files: readonly File[]): Map<string, Buffer> {
  const contents = new Map<string, Buffer>();
  let bytes = 0;
  for (const { path, content } of files) {
    const parts = path.replace(/^\//, '').split('/');
    if (path.includes('\0') || parts.some((part) => part === '' || part === '.' || part === '..')) {
      throw new MountedFilesError('failed to extract volume-mounted-files directory. format is: /serviceName/fileName');
    }
    const clean = parts.join('/');
    const same = contents.get(clean);
    if (same && !same.equals(content)) throw new MountedFilesError(`two volume-mounted files have the path '${clean}'`);
    bytes += same ? 0 : content.length;
    contents.set(clean, content);
  }
  if (bytes > MAX_BYTES) throw new MountedFilesError(`volume-mounted files are larger than ${MAX_BYTES} bytes`);
  for (const path of contents.keys()) {
    for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
      if (contents.has(path.slice(0, slash)))
        throw new MountedFilesError(`the volume-mounted file '${path.slice(0, slash)}' is a directory as well`);
    }
  }
  return contents;
}
