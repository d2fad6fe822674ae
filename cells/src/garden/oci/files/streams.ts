import { basename, dirname } from 'node:path/posix';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GardenError, type InteractiveProcess } from '../../garden.js';
import { BUSYBOX } from '../bundle.js';
import type { ContainerFiles } from './inside.js';
import { type Patience, watched } from './stall.js';
import type { ContainerUser } from './users.js';

/** Starts a program in the container, without a terminal. */
export type Starter = (o: {
  path: string;
  args: string[];
  user: ContainerUser;
  cwd: string;
}) => Promise<InteractiveProcess>;

const ERROR_LIMIT = 4096;

/**
 * Unpacks a tar stream. `tar` runs inside the container: whatever links and names are in the archive, they lead nowhere else.
 * As root it keeps owners, as anybody else all is the user's; modes are kept either way.
 */
export async function streamIn(o: {
  start: Starter;
  files: ContainerFiles;
  path: string;
  user: ContainerUser;
  tar: Readable;
  patience: Patience;
}): Promise<void> {
  await o.files.ensureDirectory(o.path, o.user).catch((cause: unknown) => {
    throw new GardenError(
      'stream-failed',
      `stream-in: ${o.path} can't be made: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    );
  });
  const owner = o.user.uid === 0 ? '--numeric-owner' : '-o';
  const child = await o.start({
    path: BUSYBOX,
    args: ['tar', '-x', owner, '-f', '-', '-C', o.path],
    user: o.user,
    cwd: '/',
  });
  const message = collectError(child.stderr);
  child.stdout.resume();
  let stalled = false;
  const watch = watched(o.patience, () => {
    stalled = true;
    o.tar.destroy(new Error('it stands still'));
    child.kill();
  });
  const [copied, ended] = await Promise.allSettled([
    // tar may stop reading at the archive's end mark; what follows is padding.
    pipeline(o.tar, watch.stream, child.stdin).catch((error: unknown) => {
      if (o.tar.errored) {
        child.kill();
        throw error;
      }
    }),
    child.wait(),
  ]);
  watch.done();
  if (stalled) throw new GardenError('stream-failed', `stream-in: no byte was taken for ${o.patience.idleMs} ms`);
  if (copied.status === 'rejected')
    throw new GardenError('stream-failed', 'stream-in: the archive could not be read', { cause: copied.reason });
  if (ended.status === 'rejected' || ended.value.code !== 0)
    throw new GardenError('stream-failed', `stream-in: ${message() || 'tar failed'}`);
}

/** Makes a directory and those above it, where missing, from inside the container, where links can lead nowhere else. */
export async function makeInside(o: {
  start: Starter;
  path: string;
  owner: { uid: number; gid: number };
  as: ContainerUser;
}): Promise<void> {
  const script =
    'p=$1; while [ ! -e "$p" ]; do top=$p; p=$("$0" dirname "$p"); done; "$0" mkdir -p "$1" && "$0" chown -hR "$2" "$top"';
  const args = ['sh', '-c', script, BUSYBOX, o.path, `${o.owner.uid}:${o.owner.gid}`];
  const child = await o.start({ path: BUSYBOX, args, user: o.as, cwd: '/' });
  child.stdin.end();
  child.stdout.resume();
  const message = collectError(child.stderr);
  if ((await child.wait()).code !== 0) throw new Error(message() || `${o.path} can't be made`);
}

/** A tar stream of a file, of a directory with its name, or, with a slash at the end, of what is in a directory. */
export async function streamOut(o: {
  start: Starter;
  files: ContainerFiles;
  path: string;
  user: ContainerUser;
  patience: Patience;
}): Promise<Readable> {
  const kind = await o.files.kind(o.path);
  if (kind === undefined) throw new GardenError('path-not-found', `stream-out: ${o.path}: no such file or directory`);
  const whole = o.path.endsWith('/') && kind === 'directory';
  const [dir, name] = whole ? [o.path, '.'] : [dirname(o.path), basename(o.path)];
  const child = await o.start({
    path: BUSYBOX,
    args: ['tar', '-c', '-f', '-', '-C', dir, '--', name],
    user: o.user,
    cwd: '/',
  });
  child.stdin.end();
  const message = collectError(child.stderr);
  const stall = `stream-out: no byte was taken for ${o.patience.idleMs} ms`;
  const { stream: out, done } = watched(o.patience, () => out.destroy(new GardenError('stream-failed', stall)));
  // Whoever asked for it may be gone, and an error that nobody listens to would be the end of the agent.
  out.on('error', () => undefined);
  out.once('close', () => {
    done();
    child.kill();
  });
  child.stdout.pipe(out, { end: false });
  void child.wait().then(({ code }) => {
    if (code === 0) out.end();
    else out.destroy(new GardenError('stream-failed', `stream-out: ${message() || 'tar failed'}`));
  });
  return out;
}

function collectError(stream: Readable): () => string {
  let text = '';
  stream.on('data', (chunk: Buffer) => {
    if (text.length < ERROR_LIMIT) text += chunk.toString('utf8');
  });
  return () => text.trim().slice(0, ERROR_LIMIT);
}
