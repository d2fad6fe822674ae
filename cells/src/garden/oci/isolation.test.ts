import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import tar from 'tar-stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { collectOutput, plainProcess, plainSpec } from '../contract.js';
import type { GardenContainer, GardenLimits, GardenSpec, ProcessSpec } from '../garden.js';
import { cgroupVersion } from './cgroups/cgroup.js';
import type { OciGarden } from './oci-garden.js';
import { cellPlaces } from './places.js';
import { type ScratchCell, scratchCell } from './scratch-cell.js';

const MB = 1024 * 1024;
let cell: ScratchCell;
let garden: OciGarden;
let made = 0;

beforeAll(async () => {
  cell = await scratchCell();
  garden = await cell.open();
});
afterEach(async () => {
  await Promise.all(garden.list().map((container) => garden.destroy(container.handle)));
  expect(await cell.leaks()).toEqual([]);
});
afterAll(async () => {
  await garden?.close();
  await cell?.remove();
});

const create = (more: Partial<GardenSpec> = {}) => garden.create(plainSpec(`i${++made}`, cell.rootFs, more));
const limited = (limits: Partial<GardenLimits>) =>
  create({ limits: { memoryBytes: 0, diskBytes: 0, pids: 0, cpuShares: 0, ...limits } });
const sh = (container: GardenContainer, script: string, more: Partial<ProcessSpec> = {}) =>
  container.run(plainProcess(`p${++made}`, { path: '/bin/sh', args: ['-c', script] }, more));
/** What a script prints, and its exit code as the last line. */
const outcome = async (container: GardenContainer, script: string, more: Partial<ProcessSpec> = {}) => {
  const process = await sh(container, script, more);
  const { code } = await process.wait();
  return [...(await collectOutput(process)), `exit ${code}`];
};

describe('limits', () => {
  it('memory: a hog is killed, and that is told', async () => {
    const container = await limited({ memoryBytes: 32 * MB });
    const hog = await sh(container, 'exec dd if=/dev/zero of=/dev/null bs=100M count=1');
    expect(await hog.wait()).toMatchObject({ code: 137, outOfMemory: true });
    expect(await outcome(container, 'echo alive')).toEqual(['stdout: alive', 'exit 0']);
  });

  it('memory: one that stays below is left alone', async () => {
    const process = await sh(
      await limited({ memoryBytes: 64 * MB }),
      'dd if=/dev/zero of=/dev/null bs=8M count=2 2>/dev/null',
    );
    expect(await process.wait()).toEqual({ code: 0, outOfMemory: false });
  });

  it('disk: what is written on top of the root filesystem is bounded', async () => {
    const container = await limited({ diskBytes: 64 * MB });
    expect(await outcome(container, 'dd if=/dev/zero of=/tmp/fits bs=1M count=60 2>/dev/null')).toEqual(['exit 0']);
    const tooMuch = await outcome(container, 'dd if=/dev/zero of=/tmp/more bs=1M count=10');
    expect(tooMuch.join()).toContain('No space left on device');
    expect((await container.metrics()).diskBytes).toBeGreaterThan(60 * MB);
    const { blocks } = await stat(join(cell.options.dataDir, 'containers', container.handle, 'disk.img'));
    expect(blocks * 512).toBeLessThan(72 * MB);
  });

  it('pids: a fork bomb stays inside, and goes with its container', async () => {
    const container = await limited({ pids: 40 });
    const bomb = await sh(container, 'while :; do sleep 1000 & done');
    // The shell gives up when it can't fork any more.
    expect((await bomb.wait()).code).not.toBe(0);
    const { pids } = await container.metrics();
    expect(pids).toBeGreaterThanOrEqual(35);
    expect(pids).toBeLessThanOrEqual(40);
    expect(await outcome(await create(), '(echo forks still work)')).toEqual(['stdout: forks still work', 'exit 0']);
  });

  it('cpu shares and open files are as asked for', async () => {
    const container = await limited({ cpuShares: 512 });
    expect(await outcome(container, 'ulimit -n', { nofile: 77 })).toEqual(['stdout: 77', 'exit 0']);
    const { cgroup } = cellPlaces(cell.options.dataDir, cell.options.cellId).container(container.handle);
    const shares = await readFile(join('/sys/fs/cgroup/cpu', cgroup, 'cpu.shares'), 'utf8').catch((error) => {
      if (cgroupVersion === 1) throw error;
      return '512';
    });
    expect(shares.trim()).toBe('512');
  });
});

describe('processes', () => {
  it('see the environment of their container under their own, with PATH, USER and HOME', async () => {
    const container = await create({ env: { A: 'container', B: 'container' } });
    const script = 'echo $A $B $USER $HOME $PATH; pwd; id';
    expect(await outcome(container, script, { user: 'vcap', env: { B: 'process' } })).toEqual([
      'stdout: container process vcap /home/vcap /usr/local/bin:/usr/bin:/bin',
      'stdout: /home/vcap',
      'stdout: uid=1000(vcap) gid=1000(vcap)',
      'exit 0',
    ]);
    expect(await outcome(container, 'id -u; id -g', { user: '12:34' })).toEqual(['stdout: 12', 'stdout: 34', 'exit 0']);
  });

  it('get their directory made, as their own', async () => {
    const container = await create();
    const script = 'pwd; stat -c %U . ..; touch x';
    expect(await outcome(container, script, { user: 'vcap', dir: '/data/deep/er' })).toEqual([
      'stdout: /data/deep/er',
      'stdout: vcap',
      'stdout: vcap',
      'exit 0',
    ]);
  });

  it('have their streams told apart, and long lines in pieces that fit together', async () => {
    const container = await create();
    expect((await outcome(container, 'echo out; echo err >&2')).sort()).toEqual([
      'exit 0',
      'stderr: err',
      'stdout: out',
    ]);
    const long = await sh(container, "head -c 20000 /dev/zero | tr '\\0' x; echo; printf end");
    const pieces: { partial: boolean; data: string }[] = [];
    for await (const { partial, data } of long.output()) pieces.push({ partial, data: data.toString() });
    expect(pieces.length).toBeGreaterThan(2);
    const lines = pieces
      .map(({ partial, data }) => data + (partial ? '' : '\n'))
      .join('')
      .split('\n');
    expect(lines[0]).toBe('x'.repeat(20_000));
    expect(lines[1]).toBe('end');
  });

  it('that write without end fill only what is kept, and their reader keeps up', async () => {
    await garden.close();
    garden = await cell.open({ outputLimitBytes: 64 * 1024 });
    const process = await sh(await create(), 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done');
    let last = '';
    for await (const { data } of process.output()) last = data.toString();
    expect(last).toBe('line 20000');
    const dir = join(cell.options.dataDir, 'containers', garden.list()[0]?.handle ?? '', 'processes');
    const [id] = await readdir(dir);
    expect((await stat(join(dir, id ?? '', 'log'))).size).toBeLessThanOrEqual(80 * 1024);
    await garden.close();
    garden = await cell.open();
  });

  it('take their children with them when they are killed', async () => {
    const container = await create();
    const parent = await sh(container, 'sleep 1000 & sh -c "sleep 1000 & wait" & wait');
    while ((await container.metrics()).pids < 5) await new Promise((resolve) => setImmediate(resolve));
    await parent.signal('SIGKILL');
    expect((await parent.wait()).code).toBe(137);
    await onlyInit(container);
  });

  it('have orphans reaped by init', async () => {
    const container = await create();
    await (await sh(container, '(sleep 0.01 &) ; exit 0')).wait();
    const look = () => outcome(container, 'sleep 0.05; cat /proc/[0-9]*/stat | grep -c " Z "; cat /proc/1/comm');
    expect(await look()).toEqual(['stdout: 0', 'stdout: init', 'exit 0']);
  });
});

describe('walls', () => {
  it('root of a container is not root of the machine', async () => {
    const container = await create();
    expect(
      await outcome(container, 'mount -t tmpfs none /mnt 2>/dev/null || mkdir -p /m && mount -t tmpfs none /m'),
    ).toContain('exit 1');
    expect((await outcome(container, 'hostname other')).at(-1)).toBe('exit 1');
    expect((await outcome(container, 'echo 1 > /proc/sys/kernel/panic')).at(-1)).toBe('exit 1');
    expect((await outcome(container, 'mknod /tmp/disk b 254 0 && cat /tmp/disk >/dev/null')).at(-1)).toBe('exit 1');
    expect((await outcome(container, 'echo x > /.rivera/init')).at(-1)).toBe('exit 1');
    expect((await outcome(container, 'unshare -m true')).at(-1)).toBe('exit 1');
    expect(await outcome(container, 'hostname; grep $(hostname) /etc/hosts | head -1; wc -c < /proc/keys')).toEqual([
      `stdout: ${container.handle}`,
      `stdout: ${container.info().containerAddress} ${container.handle}`,
      'stdout: 0',
      'exit 0',
    ]);
    expect(await outcome(container, 'grep -E "NoNewPrivs|Seccomp:" /proc/self/status')).toEqual([
      'stdout: NoNewPrivs:\t1',
      'stdout: Seccomp:\t2',
      'exit 0',
    ]);
  });

  it('archives and links lead nowhere outside', async () => {
    const outside = await mkdtemp(join(tmpdir(), 'rivera-outside-'));
    try {
      const container = await create();
      await (
        await sh(
          container,
          `ln -s ${outside} /tmp/link; ln -s /../../..${outside} /tmp/up; mkdir -p /evil; rm -rf /etc/passwd; ln -s ${outside}/passwd /etc/passwd`,
        )
      ).wait();
      await writeFile(join(outside, 'passwd'), 'intruder:x:0:0::/:/bin/sh\n');
      const pack = tar.pack();
      pack.entry({ name: 'away', type: 'symlink', linkname: outside });
      pack.entry({ name: 'away/a' }, 'x');
      pack.entry({ name: `../../../../../../../../../..${outside}/b` }, 'x');
      pack.entry({ name: `${outside}/c` }, 'x');
      pack.finalize();
      // Refusing the archive is fine, landing outside is not.
      await container.streamIn('/tmp', 'root', Readable.from(pack)).catch(() => undefined);
      for (const path of ['/tmp/link', '/tmp/up', '/tmp/link/deeper']) {
        const inner = tar.pack();
        inner.entry({ name: 'd' }, 'x');
        inner.finalize();
        await container.streamIn(path, 'root', Readable.from(inner)).catch(() => undefined);
      }
      await sh(container, 'true', { dir: '/tmp/link/made' }).catch(() => undefined);
      expect(await readdir(outside)).toEqual(['passwd']);
      await expect(sh(container, 'true', { user: 'intruder' })).rejects.toMatchObject({ kind: 'process-failed' });
    } finally {
      await rm(outside, { recursive: true, force: true });
    }
  });

  it('owners in archives are kept for root and the user’s own for others', async () => {
    const container = await create();
    for (const [user, mode] of [
      ['root', 0o4750],
      ['vcap', 0o640],
    ] as const) {
      const pack = tar.pack();
      pack.entry({ name: 'file', uid: 4000, gid: 4001, mode }, 'x');
      pack.finalize();
      await container.streamIn(`/home/vcap/${user}`, user, Readable.from(pack));
    }
    expect(await outcome(container, 'stat -c "%u %g %a" /home/vcap/root/file /home/vcap/vcap/file')).toEqual([
      'stdout: 4000 4001 4750',
      'stdout: 1000 1000 640',
      'exit 0',
    ]);
  });

  it('mounts show a directory of the host, read-only where asked', async () => {
    const shared = await mkdtemp(join(tmpdir(), 'rivera-shared-'));
    try {
      await writeFile(join(shared, 'file'), 'from the host\n');
      const container = await create({
        mounts: [
          { source: shared, destination: '/mnt/ro', readOnly: true },
          { source: shared, destination: '/mnt/rw', readOnly: false },
        ],
      });
      expect(
        await outcome(container, 'cat /mnt/ro/file; touch /mnt/ro/x 2>/dev/null || echo refused; echo new > /mnt/rw/y'),
      ).toEqual(['stdout: from the host', 'stdout: refused', 'exit 0']);
      expect(await readFile(join(shared, 'y'), 'utf8')).toBe('new\n');
    } finally {
      await rm(shared, { recursive: true, force: true });
    }
  });
});

describe('network', () => {
  it('leads host ports to the container until it is destroyed', async () => {
    const container = await create({ ports: [8080] });
    await sh(container, 'mkdir -p /www; echo hello > /www/index.html; exec httpd -f -p 8080 -h /www');
    const url = `http://127.0.0.1:${container.info().ports[0]?.hostPort}/`;
    const answer = await fetchOnceUp(url);
    expect(answer).toBe('hello\n');
    await garden.destroy(container.handle);
    await expect(fetch(url, { signal: AbortSignal.timeout(2000) })).rejects.toThrow();
  });

  it('lets containers reach the host’s side of the bridge by their own address', async () => {
    const container = await create();
    const routes = (await outcome(container, 'ip -4 addr show eth0 | grep -o "inet [0-9.]*"; ip route | head -1')).join(
      '\n',
    );
    expect(routes).toContain(`inet ${container.info().containerAddress}`);
    expect(routes).toContain('default via');
    expect((await container.metrics()).txBytes).toBeGreaterThanOrEqual(0);
  });
});

describe('people', () => {
  const exec = { env: {}, dir: '', user: 'vcap' };

  it('get a shell on a terminal of the size they have', async () => {
    const container = await create();
    const person = await container.exec({
      ...exec,
      path: '',
      args: [],
      terminal: { term: 'xterm-256color', columns: 90, rows: 30 },
    });
    const said = text(person.stdout);
    person.stdin.write('echo "$TERM $(stty size) $(id -un)"; exit 9\n');
    expect(await person.wait()).toMatchObject({ code: 9 });
    expect(await said).toContain('xterm-256color 30 90 vcap');
  });

  it('can resize it', async () => {
    const container = await create();
    const script = 'trap "stty size; exit" WINCH; echo ready; while :; do sleep 0.02; done';
    const person = await container.exec({
      ...exec,
      path: '/bin/sh',
      args: ['-c', script],
      terminal: { term: 'xterm', columns: 80, rows: 24 },
    });
    let said = '';
    for await (const chunk of person.stdout) {
      said += String(chunk);
      if (said.includes('ready')) person.resize(120, 40);
      if (said.includes('40 120')) break;
    }
    expect(said).toContain('40 120');
    person.kill();
  });

  it('get bytes through pipes as they are, in both directions', async () => {
    const container = await create();
    const person = await container.exec({ ...exec, path: '/bin/cat', args: [] });
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7) & 255));
    person.stdin.end(bytes);
    person.stderr.resume();
    expect((await buffer(person.stdout)).equals(bytes)).toBe(true);
    expect(await person.wait()).toMatchObject({ code: 0 });
  });

  it('leave nothing behind when they are cut off', async () => {
    const container = await create();
    for (const terminal of [undefined, { term: 'xterm', columns: 80, rows: 24 }]) {
      const person = await container.exec({
        ...exec,
        path: '/bin/sh',
        args: ['-c', 'sleep 1000 & sleep 1000; true'],
        ...(terminal ? { terminal } : {}),
      });
      person.stdout.resume();
      person.stderr.resume();
      while ((await container.metrics()).pids < 4) await new Promise((resolve) => setImmediate(resolve));
      person.kill();
      await person.wait();
      await onlyInit(container);
    }
  });
});

/** The dead are counted until init has reaped them. */
async function onlyInit(container: GardenContainer): Promise<void> {
  await expect.poll(async () => (await container.metrics()).pids, { interval: 5 }).toBe(1);
}

async function fetchOnceUp(url: string): Promise<string> {
  for (let tries = 0; ; tries++) {
    try {
      return await (await fetch(url)).text();
    } catch (error) {
      if (tries > 100) throw error;
      execFileSync('sleep', ['0.02']);
    }
  }
}
