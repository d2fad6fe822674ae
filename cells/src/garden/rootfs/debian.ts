import { appendFile, chmod, chown, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../kernel/command.js';
import { publish } from './publish.js';

/** Changes whenever the recipe below does. */
const RECIPE = '1';
/** A mirror far away takes its time. */
const TIMEOUT_MS = 20 * 60_000;

/** A Debian root filesystem (variant minbase) with a user vcap, from the mirror that the host itself uses. Needs debootstrap. */
export async function buildDebianRootFs(dir: string, suite = 'bookworm'): Promise<{ built: boolean }> {
  return publish({
    dir,
    version: `debian ${RECIPE} ${suite}`,
    async build(into) {
      // Without one debootstrap uses its own default.
      const mirror = await hostMirror();
      await chmod(into, 0o755);
      await run(
        'debootstrap',
        ['--variant=minbase', '--include=ca-certificates', suite, into, ...(mirror ? [mirror] : [])],
        {
          timeoutMs: TIMEOUT_MS,
        },
      );
      await rm(join(into, 'var/cache/apt/archives'), { recursive: true, force: true });
      await appendFile(join(into, 'etc/passwd'), 'vcap:x:1000:1000:vcap:/home/vcap:/bin/bash\n');
      await appendFile(join(into, 'etc/group'), 'vcap:x:1000:\n');
      await mkdir(join(into, 'home/vcap'), { recursive: true });
      await chown(join(into, 'home/vcap'), 1000, 1000);
    },
  });
}

/** The first Debian mirror among the host's package sources. */
async function hostMirror(): Promise<string | undefined> {
  const dir = '/etc/apt/sources.list.d';
  const files = ['/etc/apt/sources.list', ...(await readdir(dir).catch(() => [])).map((name) => join(dir, name))];
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
  return mirrorIn(texts.join('\n'));
}

/** A Debian mirror in apt's sources, of the one-line or the deb822 form; the security archive is none. */
export function mirrorIn(sources: string): string | undefined {
  for (const line of sources.split('\n')) {
    const url = /^(?:deb\s+(?:\[[^\]]*\]\s*)?|URIs:\s*)(https?:\/\/\S+)/.exec(line.trim())?.[1];
    if (url && !url.includes('security')) return url.replace(/\/$/, '');
  }
  return undefined;
}
