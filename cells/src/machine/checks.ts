import { constants, existsSync, readdirSync } from 'node:fs';
import { access, mkdir, mkdtemp, readFile, rm, rmdir, stat, statfs, truncate, writeFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { wholeRuleset } from '../garden/oci/network/ruleset.js';
import { chooseRuntime } from '../garden/oci/runtime/choice.js';
import { run, runToEnd } from '../kernel/command.js';
import { PERL } from '../kernel/kernel-script.js';
import { doKernelSteps } from '../kernel/kernel-steps.js';
import type { Check, Finding } from './probe.js';

const MB = 1024 * 1024;
const MIN_MEMORY_MB = 512;
const MIN_DISK_MB = 1024;
/** What the checks on the data folder's filesystem write, with some room to spare. */
const CHECKS_MB = 8;
const MIN_OPEN_FILES = 4096;

const good = (found: string): Finding => ({ ok: true, found });
const bad = (found: string): Finding => ({ ok: false, found });

/** Everything that a cell with real containers needs of its machine. */
export function allChecks(o: { dataDir: string; userNamespaces: boolean; runtime: string }): Check[] {
  return [
    {
      name: 'root',
      needed: 'root, for namespaces, mounts and networks',
      remedy: 'run as root, e.g. with sudo',
      look: async () =>
        process.getuid?.() === 0 ? good('running as root') : bad(`running as uid ${process.getuid?.()}`),
    },
    {
      name: 'runtime',
      ...runtimeNeeded(o.runtime),
      look: () => tryRuntime(o.runtime),
    },
    program({
      name: 'supervisor',
      program: 'conmon',
      needed: 'conmon, which keeps exit codes and output over restarts of the agent',
      packages: ['conmon'],
    }),
    fixed({
      name: 'init',
      path: '/usr/bin/catatonit',
      needed: 'catatonit, the first process of every container',
      packages: ['catatonit'],
    }),
    fixed({
      name: 'busybox',
      path: '/usr/bin/busybox',
      needed: 'a static busybox, for tar in containers and the small root filesystem',
      packages: ['busybox-static'],
      static: true,
    }),
    fixed({
      name: 'perl',
      path: PERL,
      needed: 'perl, by which the agent starts programs and makes system calls',
      packages: ['perl-base'],
    }),
    {
      name: 'firewall',
      needed: 'nft, and a kernel with nf_tables, nat and fib, for egress rules and mapped ports',
      packages: ['nftables'],
      look: tryFirewall,
    },
    { name: 'netns', needed: 'network namespaces made by ip', packages: ['iproute2'], look: tryNetns },
    {
      name: 'overlayfs',
      needed: 'overlay filesystems',
      remedy: 'modprobe overlay',
      look: () => inScratch(o.dataDir, tryOverlay),
    },
    {
      name: 'user namespaces',
      needed: "user namespaces and id-mapped mounts, so that a container's root has no rights on this machine",
      remedy:
        'use Linux 5.19 or later, a data folder on ext4, xfs or btrfs, and sysctl user.max_user_namespaces above 0; or accept that ' +
        "root of a container is root of this machine, with fewer rights, by userNamespaces.enabled = false in the cell's configuration",
      look: () => inScratch(o.dataDir, tryUserNamespaces),
      optional: !o.userNamespaces,
    },
    {
      name: 'disk quota',
      needed: 'mkfs.ext4 and loop devices, for disk limits',
      packages: ['e2fsprogs', 'mount'],
      look: () => inScratch(o.dataDir, tryLoop),
    },
    {
      name: 'cgroups',
      needed: 'control groups for memory, pids and cpu that can be written',
      remedy: 'mount the cgroup controllers below /sys/fs/cgroup, writable',
      look: tryCgroups,
    },
    {
      name: 'disk',
      needed: `${MIN_DISK_MB} MB free below ${o.dataDir}`,
      look: () => freeDisk(o.dataDir),
    },
    {
      name: 'memory',
      needed: `${MIN_MEMORY_MB} MB of memory`,
      remedy: 'use a machine with more memory',
      look: async () => (totalmem() / MB >= MIN_MEMORY_MB ? good : bad)(`${Math.floor(totalmem() / MB)} MB`),
    },
    {
      name: 'open files',
      needed: `a limit of at least ${MIN_OPEN_FILES} open files`,
      remedy: `raise it, e.g. LimitNOFILE=${MIN_OPEN_FILES} in the unit or ulimit -n ${MIN_OPEN_FILES}`,
      look: async () => {
        const limit = Number(/^Max open files\s+(\d+)/m.exec(await readFile('/proc/self/limits', 'utf8'))?.[1] ?? 0);
        return (limit >= MIN_OPEN_FILES ? good : bad)(String(limit));
      },
    },
    {
      ...program({
        name: 'mariadb',
        program: 'mariadbd',
        needed: 'MariaDB, unless RIVERA_DATABASE_URL names a database',
        packages: ['mariadb-server'],
      }),
      optional: true,
    },
    {
      ...program({
        name: 'zstd',
        program: 'zstd',
        needed: 'zstd, for images of registries whose layers are packed with it',
        packages: ['zstd'],
      }),
      optional: true,
    },
    {
      ...fixed({
        name: 'sftp',
        path: '/usr/lib/openssh/sftp-server',
        needed: 'sftp-server and what it needs, for sftp and scp into containers',
        packages: ['openssh-sftp-server', 'openssh-client', 'libnss-wrapper'],
      }),
      optional: true,
    },
    {
      ...program({
        name: 'socat',
        program: 'socat',
        needed: 'socat, for processes of the garden that take input or have a terminal',
        packages: ['socat'],
      }),
      optional: true,
    },
    {
      ...program({
        name: 'debootstrap',
        program: 'debootstrap',
        needed: 'debootstrap, only to build the Debian root filesystem',
        packages: ['debootstrap'],
      }),
      optional: true,
    },
  ];
}

function runtimeNeeded(runtime: string): Pick<Check, 'needed' | 'remedy' | 'packages'> {
  if (runtime === 'auto')
    return { needed: 'crun 1.8 or runc 1.1, or later, that can run a container here', packages: ['runc'] };
  const needed = `${runtime}, which the settings name, to run a container here`;
  return { needed, remedy: 'install it, or set runtime: auto' };
}

async function tryRuntime(wanted: string): Promise<Finding> {
  const { runtime, found } = await chooseRuntime(wanted);
  return runtime ? good(found) : bad(found);
}

function program(o: { name: string; program: string; needed: string; packages: string[] }): Check {
  const places = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
  return {
    ...o,
    look: async () => {
      const path = places.map((dir) => join(dir, o.program)).find((candidate) => existsSync(candidate));
      return path ? good(path) : bad(`${o.program} is not installed`);
    },
  };
}

function fixed(o: { name: string; path: string; needed: string; packages: string[]; static?: boolean }): Check {
  return {
    ...o,
    look: async () => {
      if (
        !(await access(o.path, constants.X_OK).then(
          () => true,
          () => false,
        ))
      )
        return bad(`${o.path} is not there`);
      // A program for the dynamic linker names it in its header; a container may not have one.
      const head = (await readFile(o.path)).subarray(0, 4096).toString('latin1');
      if (o.static && head.includes('/ld-linux')) return bad(`${o.path} is not static`);
      return good(o.path);
    },
  };
}

/** On the filesystem of the data folder, as not every one can carry an overlay. Where it is full, failing means nothing. */
async function inScratch(dataDir: string, look: (dir: string) => Promise<Finding>): Promise<Finding> {
  const above = nearestExisting(dataDir);
  const room = await freeMb(above);
  const finding = await lookIn(above, look).catch((error: unknown): Finding => bad(messageOf(error)));
  if (finding.ok || Math.min(room, await freeMb(above)) >= CHECKS_MB) return finding;
  return { ok: false, found: `could not be tried, as there is hardly any room at ${above}`, noRoom: true };
}

async function lookIn(above: string, look: (dir: string) => Promise<Finding>): Promise<Finding> {
  const dir = await mkdtemp(join(above, '.rivera-probe-'));
  try {
    return await look(dir);
  } finally {
    await runToEnd('umount', [join(dir, 'mnt')]);
    await rm(dir, { recursive: true, force: true });
  }
}

async function tryOverlay(dir: string): Promise<Finding> {
  const [lower, upper, work, mnt] = ['lower', 'upper', 'work', 'mnt'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
    string,
  ];
  await Promise.all([lower, upper, work, mnt].map((path) => mkdir(path)));
  const { code, stderr } = await runToEnd('mount', [
    '-t',
    'overlay',
    '-o',
    `lowerdir=${lower},upperdir=${upper},workdir=${work}`,
    'rivera',
    mnt,
  ]);
  return code === 0 ? good('works') : bad(stderr.trim());
}

async function tryUserNamespaces(dir: string): Promise<Finding> {
  const at = (name: string) => join(dir, name);
  const ids = { hostId: 1_000_000, size: 65_536 };
  await Promise.all(['lower', 'upper', 'work', 'mnt'].map((name) => mkdir(at(name))));
  await writeFile(at('lower/file'), '');
  try {
    await doKernelSteps([
      { do: 'namespaces', ids, netFile: at('net') },
      { do: 'adopt', netFile: at('net'), userFile: at('user') },
      { do: 'idmapped', from: at('lower'), to: at('mapped'), deep: false },
      { do: 'overlay', lower: [at('mapped')], upper: at('upper'), work: at('work'), to: at('mnt'), devices: false },
    ]);
    const { uid } = await stat(at('mnt/file'));
    return uid === ids.hostId ? good('works, with id-mapped layers') : bad(`a mapped file belongs to ${uid}`);
  } catch (error) {
    return bad(messageOf(error));
  } finally {
    await runToEnd('umount', [at('mnt'), at('mapped'), at('net'), at('user')]);
  }
}

async function tryLoop(dir: string): Promise<Finding> {
  const [image, mnt] = [join(dir, 'image'), join(dir, 'mnt')];
  await mkdir(mnt);
  await writeFile(image, '');
  await truncate(image, 4 * MB);
  const made = await runToEnd('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', image]);
  if (made.code !== 0) return bad(made.stderr.trim());
  const { code, stderr } = await runToEnd('mount', ['-o', 'loop', image, mnt]);
  return code === 0 ? good('works') : bad(stderr.trim());
}

/** In a namespace that ends with the program, so that nothing is left. */
async function tryFirewall(): Promise<Finding> {
  const names = { table: 'rivera-probe', interfaces: 'rv.', bridge: 'rivera0', arp: false };
  const plan = { subnet: '10.0.0.0/24', subnet6: undefined, denyNetworks: [], hostServices: [] };
  const input = `${wholeRuleset({ ...names, ...plan }, [])}\n`;
  const { code, stderr } = await runToEnd('unshare', ['--net', 'nft', '-f', '-'], { input });
  if (code !== 0) return bad(stderr.trim().slice(0, 300) || 'nft failed');
  return good((await run('nft', ['--version'])).trim());
}

async function tryNetns(): Promise<Finding> {
  const name = `rivera-probe-${process.pid}`;
  const { code, stderr } = await runToEnd('ip', ['netns', 'add', name]);
  if (code !== 0) return bad(stderr.trim());
  await run('ip', ['netns', 'del', name]);
  return good('works');
}

async function tryCgroups(): Promise<Finding> {
  const root = '/sys/fs/cgroup';
  const v2 = existsSync(join(root, 'cgroup.controllers'));
  const wanted = ['memory', 'pids', 'cpu'];
  const controllers = v2
    ? (await readFile(join(root, 'cgroup.controllers'), 'utf8')).trim().split(' ')
    : readdirSync(root);
  const missing = wanted.filter((controller) => !controllers.includes(controller));
  if (missing.length > 0) return bad(`missing: ${missing.join(', ')}`);
  for (const dir of v2 ? [root] : wanted.map((controller) => join(root, controller))) {
    const own = join(dir, `rivera-probe-${process.pid}`);
    await mkdir(own);
    await rmdir(own);
  }
  return good(v2 ? 'version 2' : 'version 1');
}

async function freeDisk(dataDir: string): Promise<Finding> {
  const free = await freeMb(nearestExisting(dataDir));
  return free >= MIN_DISK_MB ? good(`${free} MB free`) : { ok: false, found: `${free} MB free`, noRoom: true };
}

async function freeMb(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return Math.floor((bavail * bsize) / MB);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function nearestExisting(path: string): string {
  return existsSync(path) ? path : nearestExisting(dirname(path));
}
