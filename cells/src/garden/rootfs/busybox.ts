import { createHash } from 'node:crypto';
import { chmod, chown, copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../kernel/command.js';
import { publish } from './publish.js';

/** Changes whenever the recipe below does. */
const RECIPE = '1';
/** Where Debian's busybox-static has it. */
const BUSYBOX = '/usr/bin/busybox';

const PASSWD =
  'root:x:0:0:root:/root:/bin/sh\nvcap:x:1000:1000:vcap:/home/vcap:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n';
const GROUP = 'root:x:0:\ntty:x:5:\nvcap:x:1000:\nnogroup:x:65534:\n';

/** Directories with their modes. */
const DIRECTORIES: [path: string, mode: number][] = [
  ['bin', 0o755],
  ['dev', 0o755],
  ['etc/ssl/certs', 0o755],
  ['proc', 0o555],
  ['root', 0o700],
  ['run', 0o755],
  ['sys', 0o555],
  ['tmp', 0o1777],
  ['usr/bin', 0o755],
  ['usr/sbin', 0o755],
  ['sbin', 0o755],
  ['home', 0o755],
  ['var/log', 0o755],
  ['var/tmp', 0o1777],
];

/** A small root filesystem of busybox alone, with the users root and vcap. Does nothing when it is there already. */
export async function buildBusyboxRootFs(dir: string, busybox = BUSYBOX): Promise<{ built: boolean }> {
  const digest = createHash('sha256')
    .update(await readFile(busybox))
    .digest('hex')
    .slice(0, 16);
  return publish({ dir, version: `busybox ${RECIPE} ${digest}`, build: (into) => build(into, busybox) });
}

async function build(into: string, busybox: string): Promise<void> {
  for (const [path, mode] of DIRECTORIES) {
    await mkdir(join(into, path), { recursive: true });
    await chmod(join(into, path), mode);
  }
  await copyFile(busybox, join(into, 'bin/busybox'));
  await chmod(join(into, 'bin/busybox'), 0o755);
  const applets = (await run(busybox, ['--list-full'])).split('\n').filter(Boolean);
  for (const applet of applets) {
    // Everything in one place; the usual other places lead there too.
    const name = applet.split('/').at(-1);
    if (name && name !== 'busybox') await symlink('busybox', join(into, 'bin', name)).catch(ignoreTwice);
    if (name && /^(usr\/)?s?bin\//.test(applet) && !applet.startsWith('bin/'))
      await symlink('/bin/busybox', join(into, applet)).catch(ignoreTwice);
  }
  await writeFile(join(into, 'etc/passwd'), PASSWD);
  await writeFile(join(into, 'etc/group'), GROUP);
  await writeFile(join(into, 'etc/os-release'), 'ID=busybox\nNAME="BusyBox"\nPRETTY_NAME="BusyBox, made by Rivera"\n');
  const home = join(into, 'home/vcap');
  await mkdir(home, { mode: 0o755 });
  await chown(home, 1000, 1000);
}

/** Some applets are listed in two places. */
function ignoreTwice(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}
