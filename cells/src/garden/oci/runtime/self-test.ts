import { chown, copyFile, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { runToEnd } from '../../../kernel/command.js';
import { capabilities } from '../security.js';
import type { Runtime } from './runtime.js';

/** It takes some hundredths of a second. */
const TIMEOUT_MS = 20_000;

/**
 * Nobody's, and not containers' by default either: one of them has the process of a test, and nothing else. Tests that are made at the
 * same time take different ones, so that what one runtime does is not held against another.
 */
const FIRST_USER = 0x7fff_0000;
const USERS = 0xffff;

/** Runs a container that does nothing but end. Resolves with why it could not; undefined: it could. Leaves nothing behind. */
export async function whyUnusable(runtime: Runtime): Promise<string | undefined> {
  const dir = await mkdtemp(join(tmpdir(), 'rivera-probe-'));
  const id = basename(dir);
  const root = join(dir, 'runtime');
  const user = FIRST_USER + Math.floor(Math.random() * USERS);
  try {
    await mkdir(join(dir, 'rootfs/bin'), { recursive: true });
    await Promise.all(['proc', 'dev', 'sys'].map((name) => mkdir(join(dir, 'rootfs', name))));
    await copyFile('/usr/bin/busybox', join(dir, 'rootfs/bin/true'));
    await writeFile(join(dir, 'config.json'), JSON.stringify(config(id, user)));
    const { code, stderr } = await runToEnd(runtime.path, ['--root', root, 'run', '--bundle', dir, id], {
      timeoutMs: TIMEOUT_MS,
      hidden: runtime.hidden,
    });
    if (code !== 0) return stderr.trim().slice(-300) || `exit code ${code}`;
    return (await gaveNull(user)) ? 'it gives /dev/null to containers, which only Linux 5.12 can prevent' : undefined;
  } finally {
    await runToEnd(runtime.path, ['--root', root, 'delete', '-f', id], { timeoutMs: TIMEOUT_MS });
    await rm(dir, { recursive: true, force: true });
  }
}

/** Whether the runtime has given the machine's `/dev/null` to its process; puts that right. */
async function gaveNull(user: number): Promise<boolean> {
  const { uid } = await stat('/dev/null');
  if (uid !== user) return false;
  await chown('/dev/null', 0, 0);
  return true;
}

function config(id: string, user: number): object {
  return {
    ociVersion: '1.0.2',
    process: {
      user: { uid: user, gid: user },
      args: ['/bin/true'],
      cwd: '/',
      env: ['PATH=/bin'],
      noNewPrivileges: true,
      capabilities: capabilities({ privileged: false, root: false }),
    },
    root: { path: 'rootfs', readonly: true },
    mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
    linux: {
      cgroupsPath: `/rivera/${id}`,
      namespaces: ['pid', 'mount', 'ipc', 'uts', 'network'].map((type) => ({ type })),
      resources: { memory: { limit: 64 * 1024 * 1024 }, pids: { limit: 32 } },
    },
  };
}
