import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runToEnd } from '../garden/oci/command.js';
import { capabilities } from '../garden/oci/security.js';
import type { Finding } from './probe.js';

const MIN_VERSION = [1, 1];

/** Runs a container that does nothing but end, and looks whether it could. */
export async function tryRuntime(): Promise<Finding> {
  const version = await runToEnd('runc', ['--version']);
  if (version.code !== 0) return { ok: false, found: 'runc is not installed' };
  const number = /runc version (\d+)\.(\d+)\S*/.exec(version.stdout);
  if (!number || !isAtLeast([Number(number[1]), Number(number[2])], MIN_VERSION)) {
    return { ok: false, found: `version ${number?.[0] ?? 'unknown'}` };
  }
  const dir = await mkdtemp(join(tmpdir(), 'rivera-probe-'));
  const id = `rivera-probe-${process.pid}`;
  const root = join(dir, 'runtime');
  try {
    await mkdir(join(dir, 'rootfs/bin'), { recursive: true });
    await mkdir(join(dir, 'rootfs/proc'));
    await copyFile('/usr/bin/busybox', join(dir, 'rootfs/bin/true'));
    await writeFile(join(dir, 'config.json'), JSON.stringify(config(id)));
    const { code, stderr } = await runToEnd('runc', ['--root', root, 'run', '--bundle', dir, id], {
      timeoutMs: 20_000,
    });
    if (code !== 0)
      return { ok: false, found: `${number[0]}, but it could not run a container: ${stderr.trim().slice(-300)}` };
    return { ok: true, found: `${number[0]}, self-test passed` };
  } finally {
    await runToEnd('runc', ['--root', root, 'delete', '-f', id]);
    await rm(dir, { recursive: true, force: true });
  }
}

/** Compares versions by their first differing number. */
export function isAtLeast(version: number[], least: number[]): boolean {
  for (const [index, wanted] of least.entries()) {
    const has = version[index] ?? 0;
    if (has !== wanted) return has > wanted;
  }
  return true;
}

function config(id: string): object {
  return {
    ociVersion: '1.0.2',
    process: {
      user: { uid: 0, gid: 0 },
      args: ['/bin/true'],
      cwd: '/',
      env: ['PATH=/bin'],
      noNewPrivileges: true,
      capabilities: capabilities({ privileged: false, root: true }),
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
