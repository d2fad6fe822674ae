import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Logger } from '@rivera/kit/log';
import { run } from '../../kernel/command.js';
import { isMissing, readIfPresent } from '../../kernel/durable.js';
import { BUSYBOX, SSH_TOOLS } from './bundle.js';

/** Where Debian's packages put them: openssh-sftp-server, openssh-client. */
const PROGRAMS = ['/usr/lib/openssh/sftp-server', '/usr/bin/scp'];
/** Tells programs of a user that the container's own files don't know; of the package libnss-wrapper. */
const NSS_WRAPPER = 'libnss_wrapper.so';

/** What names of folders begin with that are being laid out. */
const UNFINISHED = '.ssh-';

/** Programs with their loader and libraries, so that they run in images that have nothing, or another C library. */
interface Parts {
  programs: string[];
  libraries: string[];
  loader: string;
}

/**
 * Lays out the folder that containers see at `SSH_TOOLS`. Its name follows from what is in it: containers of an earlier agent keep
 * theirs. Undefined, and a word in the log, when this machine has not got the programs.
 */
export async function prepareSshTools(below: string, log: Logger): Promise<string | undefined> {
  let parts: Parts;
  try {
    parts = await findParts();
  } catch (error) {
    log.warn(
      { err: error },
      'no sftp and scp in containers: install openssh-sftp-server, openssh-client and libnss-wrapper',
    );
    return undefined;
  }
  const digest = await digestOf(parts);
  const folder = join(below, `ssh-${digest}`);
  await mkdir(below, { recursive: true, mode: 0o755 });
  for (const name of await readdir(below))
    if (name.startsWith(UNFINISHED)) await rm(join(below, name), { recursive: true });
  // Nothing is written where an earlier agent has laid it out: the disk may be full by now.
  if (!(await isWhole(folder, parts, digest))) await replace(folder, parts);
  return folder;
}

/** A machine that lost its power may have left files without their contents. */
async function isWhole(folder: string, { programs, libraries }: Parts, digest: string): Promise<boolean> {
  const inside = (place: string) => (path: string) => join(folder, place, basename(path));
  const laidOut = {
    programs: programs.map(inside('libexec')),
    libraries: libraries.map(inside('lib')),
    loader: join(folder, 'ld.so'),
  };
  const scripts = await Promise.all(programs.map(inside('bin')).map(readIfPresent));
  const found = await digestOf(laidOut).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  return found === digest && programs.every((path, at) => scripts[at] === script(basename(path)));
}

async function replace(folder: string, parts: Parts): Promise<void> {
  const fresh = await mkdtemp(join(dirname(folder), UNFINISHED));
  const old = `${fresh}.old`;
  try {
    await layOut(fresh, parts);
    await rename(folder, old).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
    });
    await rename(fresh, folder);
  } finally {
    for (const path of [fresh, old]) await rm(path, { recursive: true, force: true });
  }
}

async function findParts(): Promise<Parts> {
  const libraries = new Set<string>();
  let loader = '';
  for (const program of PROGRAMS) {
    for (const line of (await run('ldd', [program])).split('\n')) {
      const library = /=> (\/\S+) \(/.exec(line)?.[1];
      if (library) libraries.add(library);
      const found = /^\s*(\/\S*ld-linux\S*)/.exec(line)?.[1];
      if (found) loader = found;
    }
  }
  const libc = [...libraries].find((path) => basename(path).startsWith('libc.so'));
  if (!loader || !libc) throw new Error(`${PROGRAMS[0]} does not tell its libraries`);
  const listed = await run('dpkg', ['-L', 'libnss-wrapper']);
  const wrapper = listed.split('\n').find((path) => basename(path) === NSS_WRAPPER);
  if (!wrapper) throw new Error('libnss-wrapper is not installed');
  return { programs: PROGRAMS, libraries: [...libraries, wrapper], loader };
}

async function digestOf({ programs, libraries, loader }: Parts): Promise<string> {
  const hash = createHash('sha256').update(script('')).update(LAYOUT);
  for (const file of [...programs, ...libraries, loader]) hash.update(await readFile(file));
  return hash.digest('hex').slice(0, 16);
}

const LAYOUT = 'bin, lib, libexec, ld.so';

async function layOut(folder: string, { programs, libraries, loader }: Parts): Promise<void> {
  await chmod(folder, 0o755);
  for (const name of LAYOUT.split(', ').slice(0, 3)) await mkdir(join(folder, name), { mode: 0o755 });
  const copy = async (from: string, to: string) => {
    await copyFile(from, to);
    await chmod(to, 0o755);
  };
  await copy(loader, join(folder, 'ld.so'));
  for (const library of libraries) await copy(library, join(folder, 'lib', basename(library)));
  for (const program of programs) {
    const name = basename(program);
    await copy(program, join(folder, 'libexec', name));
    await writeFile(join(folder, 'bin', name), script(name), { mode: 0o755 });
    await chmod(join(folder, 'bin', name), 0o755);
  }
}

/** Both programs refuse to run for a user without a name; where the image has no such file, one is made for them alone. */
function script(name: string): string {
  return `#!${BUSYBOX} sh
t=${SSH_TOOLS}
b=${BUSYBOX}
u=$($b id -u)
if $b grep -q "^[^:]*:[^:]*:$u:" /etc/passwd 2>/dev/null; then
  exec $t/ld.so --library-path $t/lib $t/libexec/${name} "$@"
fi
f=/dev/shm/.rivera-user-$u
g=$($b id -g)
echo "user$u:x:$u:$g::\${HOME:-/}:$b" >$f.$$ && $b mv -f $f.$$ $f
echo "group$g:x:$g:" >$f.$$ && $b mv -f $f.$$ $f.group
export NSS_WRAPPER_PASSWD=$f NSS_WRAPPER_GROUP=$f.group
exec $t/ld.so --library-path $t/lib --preload $t/lib/${NSS_WRAPPER} $t/libexec/${name} "$@"
`;
}
