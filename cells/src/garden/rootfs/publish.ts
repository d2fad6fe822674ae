import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Says which recipe made a tree; beside the tree and not in it, so that containers don't see it. */
function markerOf(dir: string): string {
  return join(dirname(dir), `.${basename(dir)}.version`);
}

/**
 * Builds a directory so that it is there whole or not at all, and only when the recipe is another than last time. The old tree
 * is put aside and not changed in place: containers may be using it.
 */
export async function publish(o: {
  dir: string;
  version: string;
  build: (into: string) => Promise<void>;
}): Promise<{ built: boolean }> {
  const marker = markerOf(o.dir);
  if ((await readFile(marker, 'utf8').catch(() => '')) === o.version && (await exists(o.dir))) return { built: false };
  const parent = dirname(o.dir);
  await mkdir(parent, { recursive: true });
  const temporary = await mkdtemp(join(parent, `.${basename(o.dir)}.`));
  const tree = join(temporary, 'tree');
  try {
    await mkdir(tree, { mode: 0o755 });
    await o.build(tree);
    await rm(marker, { force: true });
    if (await exists(o.dir)) await rename(o.dir, join(temporary, 'old'));
    await rename(tree, o.dir);
    await writeFile(marker, o.version);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return { built: true };
}

async function exists(path: string): Promise<boolean> {
  return readFile(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code === 'EISDIR',
  );
}
