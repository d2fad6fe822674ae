import { readFile } from 'node:fs/promises';
import { runToEnd } from './command.js';

/** Mount points at or below a directory, innermost last mounted first, as they have to be taken away. */
export async function mountsBelow(dir: string): Promise<string[]> {
  const points: string[] = [];
  for (const line of (await readFile('/proc/self/mountinfo', 'utf8')).split('\n')) {
    const point = line.split(' ')[4];
    if (point === undefined) continue;
    // The kernel writes blanks and other oddities as octal escapes.
    const path = point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    if (path === dir || path.startsWith(`${dir}/`)) points.push(path);
  }
  return points.reverse();
}

/** The layers of all overlays below a directory, as they were named when these were mounted. */
export async function lowerDirectoriesBelow(dir: string): Promise<Set<string>> {
  const found = new Set<string>();
  for (const line of (await readFile('/proc/self/mountinfo', 'utf8')).split('\n')) {
    const [place = '', filesystem = ''] = line.split(' - ');
    if (!filesystem.startsWith('overlay ') || !place.split(' ')[4]?.startsWith(`${dir}/`)) continue;
    const lower = /(?:^|[ ,])lowerdir=([^ ,]*)/.exec(filesystem)?.[1] ?? '';
    for (const path of lower.split(':')) if (path !== '') found.add(path);
  }
  return found;
}

/** Takes away every mount at or below a directory, those still in use lazily. */
export async function unmountBelow(dir: string): Promise<void> {
  const points = await mountsBelow(dir);
  if (points.length === 0) return;
  const script = 'for m in "$@"; do umount -- "$m" || umount -l -- "$m"; done';
  await runToEnd('sh', ['-c', script, 'unmount', ...points]);
  const left = await mountsBelow(dir);
  if (left.length > 0) throw new Error(`still mounted: ${left.join(', ')}`);
}
