import { lstat, readdir, readFile, realpath, rmdir, unlink } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { isMissing } from './durable.js';
import { doKernelSteps } from './kernel-steps.js';

/** Mount points at or below directories, one directory after the other, last mounted first, as they have to be taken away. */
export async function mountsBelow(...dirs: string[]): Promise<string[]> {
  const points: string[] = [];
  for (const line of (await readFile('/proc/self/mountinfo', 'utf8')).split('\n')) {
    const point = line.split(' ')[4];
    if (point === undefined) continue;
    // The kernel writes blanks and other oddities as octal escapes.
    const path = point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    points.push(path);
  }
  points.reverse();
  return dirs.flatMap((dir) => points.filter((path) => path === dir || path.startsWith(`${dir}/`)));
}

/** What is mounted below a directory, outermost first, by paths relative to it; once each. */
export async function nestedMounts(dir: string): Promise<string[]> {
  const real = await realpath(dir);
  const points = await mountsBelow(real);
  return [...new Set(points.reverse())].filter((point) => point !== real).map((point) => relative(real, point));
}

/** The layers of all overlays below some directories, as they were named when these were mounted. */
export async function lowerDirectoriesBelow(...dirs: string[]): Promise<Set<string>> {
  const found = new Set<string>();
  for (const line of (await readFile('/proc/self/mountinfo', 'utf8')).split('\n')) {
    const [place = '', filesystem = ''] = line.split(' - ');
    const point = place.split(' ')[4];
    if (!filesystem.startsWith('overlay ') || !dirs.some((dir) => point?.startsWith(`${dir}/`))) continue;
    const lower = /(?:^|[ ,])lowerdir=([^ ,]*)/.exec(filesystem)?.[1] ?? '';
    for (const path of lower.split(':')) if (path !== '') found.add(path);
  }
  return found;
}

/** Takes away every mount at or below directories, one directory after the other, those still in use lazily. */
export async function unmountBelow(...dirs: string[]): Promise<void> {
  const points = await mountsBelow(...dirs);
  if (points.length === 0) return;
  await doKernelSteps([{ do: 'unmount', paths: points }]);
  const left = await mountsBelow(...dirs);
  if (left.length > 0) throw new Error(`still mounted: ${left.join(', ')}`);
}

/**
 * Removes the mount points of a container, all of them empty now. What still had something in it would be somebody's files, and
 * fails.
 */
export async function removeStage(dir: string): Promise<void> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (!entries) return;
  for (const entry of entries) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) await removeStage(path);
    else await removeEmptyFile(path);
  }
  await rmdir(dir);
}

async function removeEmptyFile(path: string): Promise<void> {
  if ((await lstat(path)).size > 0) throw new Error(`${path} is not empty`);
  await unlink(path);
}
