import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { systemClock } from '@rivera/kit/clock';
import tar from 'tar-stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { collectOutput, plainProcess, plainSpec } from '../contract.js';
import type { GardenContainer, GardenLimits, GardenSpec, InteractiveProcess, ProcessSpec } from '../garden.js';
import type { OciGarden } from './oci-garden.js';
import { type CellPlaces, cellPlaces } from './places.js';
import { type ScratchCell, scratchCell } from './scratch-cell.js';
import { tracesOf } from './traces.js';

// What somebody inside a container tries, with all that root of a container may do. Every attack is made for real, in a container
// beside one that has to go on working; it fails, and its container can be destroyed without a trace.

const MB = 1024 * 1024;
const CELL = { maxPids: 60, maxExecs: 6, streamIdleMs: 300, outputLimitBytes: MB, nofile: 512 };
let cell: ScratchCell;
let garden: OciGarden;
let places: CellPlaces;
let bystander: GardenContainer;
/** A folder of the host that nobody inside has business with. */
let outside: string;
let made = 0;

beforeAll(async () => {
  cell = await scratchCell();
  garden = await cell.open(CELL);
  places = cellPlaces(cell.options.dataDir, cell.options.cellId);
  outside = await mkdtemp(join(tmpdir(), 'rivera-outside-'));
  await writeFile(join(outside, 'secret'), 'the host’s\n', { mode: 0o600 });
  bystander = await garden.create(plainSpec('bystander', cell.rootFs));
});
afterEach(async () => {
  await works(bystander);
  const others = garden.list().filter(({ handle }) => handle !== bystander.handle);
  await Promise.all(others.map(({ handle }) => garden.destroy(handle)));
  const leaks = async () => (await tracesOf(places)).filter(({ handle }) => handle !== bystander.handle);
  await expect.poll(leaks, { timeout: 30_000 }).toEqual([]);
  expect(await readdir(outside)).toEqual(['secret']);
  expect(await stat(outside)).toMatchObject({ uid: 0, gid: 0 });
});
afterAll(async () => {
  await garden?.close();
  await cell?.remove();
  if (outside) await rm(outside, { recursive: true, force: true });
});

const create = (limits: Partial<GardenLimits> = {}, more: Partial<GardenSpec> = {}) =>
  garden.create(
    plainSpec(`a${++made}`, cell.rootFs, {
      limits: { memoryBytes: 0, diskBytes: 0, pids: 0, cpuShares: 0, ...limits },
      ...more,
    }),
  );
const sh = (container: GardenContainer, script: string, more: Partial<ProcessSpec> = {}) =>
  container.run(plainProcess(`p${++made}`, { path: '/bin/sh', args: ['-c', script] }, more));
const said = async (container: GardenContainer, script: string, more: Partial<ProcessSpec> = {}) =>
  (await collectOutput(await sh(container, script, more))).map((line) => line.replace(/^stdout: /, ''));
const works = async (container: GardenContainer) => {
  expect(await said(container, '(echo fine) && : > /tmp/file')).toEqual(['fine']);
};
const person = async (
  container: GardenContainer,
  script: string,
  terminal?: { term: string; columns: number; rows: number },
) => {
  const process = await container.exec({
    path: '/bin/sh',
    args: ['-c', script],
    env: {},
    dir: '',
    user: 'root',
    ...(terminal ? { terminal } : {}),
  });
  process.stdout.resume();
  process.stderr.resume();
  return process;
};
const archive = (entries: [Partial<tar.Header> & { name: string }, string?][]): Readable => {
  const pack = tar.pack();
  for (const [headers, content = ''] of entries) pack.entry(headers, content);
  pack.finalize();
  return Readable.from(pack);
};

describe('paths that lead outside', () => {
  it('in archives: links, hard links, devices and dots stay in the container', async () => {
    const container = await create();
    const attempts: [Partial<tar.Header> & { name: string }, string?][][] = [
      [[{ name: 'l', type: 'symlink', linkname: outside }], [{ name: 'l/x' }, 'x']],
      [[{ name: 'h', type: 'link', linkname: join(outside, 'secret') }], [{ name: 'h' }, 'x']],
      [[{ name: 'd', type: 'symlink', linkname: '.' }], [{ name: `d/../../../../..${outside}/x` }, 'x']],
      [[{ name: 'disk', type: 'block-device', devmajor: 254, devminor: 0 }]],
    ];
    for (const [index, entries] of attempts.entries()) {
      const entered = container.streamIn(`/tmp/${index}`, 'root', archive(entries));
      await entered.catch((error) => expect(error).toMatchObject({ kind: 'stream-failed' }));
    }
    expect(await said(container, 'cat /tmp/1/h 2>&1; ls /tmp/3')).not.toContain('the host’s');
    expect(await said(container, 'test -b /tmp/3/disk && echo device')).toEqual([]);
  });

  it('in downloads: a link is told as a link, and files of the host are not found through it', async () => {
    const container = await create();
    await said(
      container,
      `ln -s ${outside}/secret /tmp/file; ln -s ${outside} /tmp/dir; ln -s /proc/1/root${outside} /tmp/proc`,
    );
    await expect(container.streamOut('/tmp/dir/secret', 'root')).rejects.toMatchObject({ kind: 'path-not-found' });
    await expect(container.streamOut('/tmp/proc/secret', 'root')).rejects.toMatchObject({ kind: 'path-not-found' });
    for (const path of ['/tmp/file', '/tmp/dir/'])
      await container.streamOut(path, 'root').then(
        async (stream) => expect((await buffer(stream)).toString()).not.toContain('the host’s'),
        (error) => expect(error).toMatchObject({ kind: 'path-not-found' }),
      );
  });

  it('that change while they are walked lead nowhere else', async () => {
    const container = await create();
    const racer = await sh(
      container,
      `while :; do mkdir -p /tmp/race; rmdir /tmp/race; ln -s ${outside} /tmp/race; rm /tmp/race; done`,
    );
    for (let round = 0; round < 8; round++) {
      const user = round % 2 === 0 ? 'root' : 'vcap';
      await container.streamIn('/tmp/race/made', user, archive([[{ name: 'x' }, 'x']])).catch(() => undefined);
      await sh(container, 'true', { dir: '/tmp/race/dir', user: 'vcap' }).catch(() => undefined);
    }
    await racer.signal('SIGKILL');
  });

  it('in what of the host is shown: links in it are the container’s, and what is read-only stays so', async () => {
    const shared = await mkdtemp(join(tmpdir(), 'rivera-shared-'));
    try {
      const mounts = [
        { source: shared, destination: '/data', readOnly: false },
        { source: outside, destination: '/ro', readOnly: true },
      ];
      const container = await create({}, { mounts });
      const script = `ln -s ${outside} /data/link; cat /data/link/secret /data/../..${outside}/secret; ls /data/.. | grep -c rivera-`;
      expect((await said(container, script)).join()).not.toContain('the host’s');
      const changes = ['touch /ro/x', 'chmod 777 /ro', 'mount -o remount,rw /ro', 'umount /ro', 'rm /ro/secret'];
      for (const change of changes) expect(await said(container, `${change} 2>/dev/null || echo no`)).toEqual(['no']);
      // What root inside makes of it can't be run with rights by anybody: neither devices nor rights from files count there.
      const plant =
        'cp /bin/busybox /data/su && chmod 4755 /data/su; grep " /data " /proc/mounts; mknod /data/disk b 254 0 2>/dev/null || echo no';
      expect(await said(container, plant)).toEqual([expect.stringMatching(/nosuid,nodev/), 'no']);
      // A container whose mount point is a link is made in the container, or not at all.
      await garden.destroy(container.handle);
      expect((await readdir(shared)).sort()).toEqual(['link', 'su']);
    } finally {
      await rm(shared, { recursive: true, force: true });
    }
  });
});

describe('the kernel’s own files and calls', () => {
  const tricks: [what: string, script: string][] = [
    ['change the kernel', 'echo x > /proc/sys/kernel/core_pattern'],
    ['crash it', 'echo c > /proc/sysrq-trigger'],
    ['change what net.* doesn’t own', 'echo 1 > /proc/sys/vm/drop_caches'],
    ['read its memory', 'head -c 1 /proc/kcore | grep -q .'],
    ['read its keys', 'grep -q . /proc/keys'],
    ['load its modules', 'modprobe loop || insmod /x'],
    ['write to sysfs', 'echo 1 > /sys/kernel/mm/ksm/run'],
    ['mount sysfs anew', 'mount -t sysfs none /mnt'],
    ['mount proc anew', 'mkdir -p /m; mount -t proc none /m'],
    ['mount a control group', 'mkdir -p /m; mount -t cgroup -o memory none /m'],
    ['uncover what is masked', 'umount /proc/keys || umount /sys/firmware'],
    ['make a disk', 'mknod /dev/disk b 254 0 && head -c 1 /dev/disk'],
    ['make memory', 'mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem'],
    ['enter another namespace', 'nsenter -t 1 -n -m true'],
    ['make namespaces', 'unshare -m true || unshare -n true || unshare -p true'],
    ['make a user namespace', 'unshare -U true'],
    ['leave its root', 'pivot_root / /tmp'],
    ['set the clock', 'date -s 2000-01-01; test $(date +%Y) = 2000'],
    ['give itself priority', 'nice -n -10 true 2>&1 | grep -q . && false || renice -n -10 -p $$'],
    ['end its init', 'kill -9 1; sleep 0.1; kill -0 1 && false'],
    ['read the host’s processes', 'ls /proc | grep -qx $(($(ls /proc | grep -c "^[0-9]") + 1000))'],
    ['change its limits', 'ulimit -Hn 100000'],
    ['see its control groups', 'ls /sys/fs/cgroup/* | grep -q release_agent'],
  ];

  it('are out of reach, whatever root inside tries', async () => {
    const container = await create();
    const succeeded: string[] = [];
    for (const [what, script] of tricks) {
      const attempt = await sh(container, `{ ${script}; } >/dev/null 2>&1`);
      if ((await attempt.wait()).code === 0) succeeded.push(what);
    }
    expect(succeeded).toEqual([]);
  });

  // Numbers of the calls are those of this kind of machine.
  it.runIf(process.arch === 'x64')('calls that open kernels are refused, made directly and as root', async () => {
    const mounts = [{ source: '/usr', destination: '/usr', readOnly: true }];
    const container = await create({}, { mounts });
    await said(container, 'ln -s usr/lib /lib; ln -s usr/lib64 /lib64');
    const [EPERM, ENOSYS] = [1, 38];
    const zeros = Array(6).fill(0);
    const calls: [name: string, number: number, args: number[], error: number][] = [
      ['unshare user', 272, [0x10000000], EPERM],
      ['unshare mount', 272, [0x20000], EPERM],
      ['clone user', 56, [0x10000011, 0, 0, 0, 0], EPERM],
      ['clone3', 435, zeros, ENOSYS],
      ['setns', 308, [0, 0], EPERM],
      ['mount', 165, zeros, EPERM],
      ['umount2', 166, zeros, EPERM],
      ['open_tree', 428, zeros, EPERM],
      ['move_mount', 429, zeros, EPERM],
      ['fsopen', 430, zeros, EPERM],
      ['mount_setattr', 442, zeros, EPERM],
      ['pivot_root', 155, zeros, EPERM],
      ['bpf', 321, zeros, EPERM],
      ['perf_event_open', 298, zeros, EPERM],
      ['io_uring_setup', 425, zeros, EPERM],
      ['userfaultfd', 323, zeros, EPERM],
      ['keyctl', 250, zeros, EPERM],
      ['add_key', 248, zeros, EPERM],
      ['kexec_load', 246, zeros, EPERM],
      ['init_module', 175, zeros, EPERM],
      ['open_by_handle_at', 304, zeros, EPERM],
      ['name_to_handle_at', 303, zeros, EPERM],
      ['fanotify_init', 300, zeros, EPERM],
      ['pidfd_getfd', 438, zeros, EPERM],
      ['reboot', 169, zeros, EPERM],
      ['swapon', 167, zeros, EPERM],
      ['sethostname', 170, zeros, EPERM],
      ['settimeofday', 164, zeros, EPERM],
      ['syslog', 103, zeros, EPERM],
      ['iopl', 172, [3], EPERM],
      ['socket of the hypervisor', 41, [40, 1, 0], EPERM],
      ['socket of the kernel’s ciphers', 41, [38, 5, 0], EPERM],
    ];
    const script = calls.map(
      ([name, number, args]) => `$! = 0; syscall(${[number, ...args].join(',')}); print "${name} ", $! + 0, "\\n";`,
    );
    const run = plainProcess(`p${++made}`, { path: '/usr/bin/perl', args: ['-e', script.join(' ')] });
    const lines = await collectOutput(await container.run(run));
    expect(lines).toEqual(calls.map(([name, , , error]) => `stdout: ${name} ${error}`));
    // Of others in the same container, nobody without rights can trace or read.
    const victim = await sh(container, 'echo $$ > /tmp/victim; exec sleep 1000');
    const trace =
      'my $p = 0; until ($p) { if (open(my $f, "<", "/tmp/victim")) { $p = int(readline($f) || 0) } }' +
      'for (sub { syscall 101, 16, $p, 0, 0 }, sub { syscall 62, $p, 9 }) { $! = 0; $_->(); print $! + 0, "\\n" }' +
      'print open(my $m, "<", "/proc/$p/mem") ? "open" : "shut", "\\n"';
    const tracer = plainProcess(`p${++made}`, { path: '/usr/bin/perl', args: ['-e', trace] }, { user: 'vcap' });
    expect(await collectOutput(await container.run(tracer))).toEqual(
      ['1', '1', 'shut'].map((line) => `stdout: ${line}`),
    );
    await victim.signal('SIGKILL');
    // Descriptors end at the limit of the cell.
    const greedy =
      'my @f; while (1) { open(my $f, "<", "/dev/null") or last; push @f, $f } print scalar(@f) < 512 && $!{EMFILE} ? "bounded" : scalar @f;' +
      'my @s; @f = (); while (1) { socket(my $s, 2, 1, 0) or last; push @s, $s } print scalar(@s) < 512 && $!{EMFILE} ? " bounded" : scalar @s';
    const opener = plainProcess(`p${++made}`, { path: '/usr/bin/perl', args: ['-e', greedy] });
    expect(await collectOutput(await container.run(opener))).toEqual(['stdout: bounded bounded…']);
  });
});

describe('taking all there is', () => {
  it('processes: a fork bomb in a container without a limit ends at the cell’s, and goes with its container', async () => {
    const container = await create();
    const bomb = await sh(container, 'while :; do sleep 1000 & done');
    await expect.poll(async () => (await container.metrics()).pids, { timeout: 30_000 }).toBeGreaterThan(50);
    expect((await container.metrics()).pids).toBeLessThanOrEqual(60);
    await works(bystander);
    await garden.destroy(container.handle);
    expect((await bomb.wait()).code).not.toBe(0);
  });

  it('memory: by programs, and by files in /dev/shm and /dev, which count as memory', async () => {
    const container = await create({ memoryBytes: 24 * MB });
    const hog = await sh(container, 'tail /dev/zero');
    expect(await hog.wait()).toMatchObject({ code: 137, outOfMemory: true });
    // More than there is memory, and more than /dev/shm holds in all.
    const files = 'dd if=/dev/zero of=/dev/shm/x bs=1M count=60; dd if=/dev/zero of=/dev/x bs=1M count=60';
    expect((await (await sh(container, files)).wait()).code).not.toBe(0);
    const bounded = await create({ memoryBytes: 256 * MB });
    expect((await said(bounded, 'dd if=/dev/zero of=/dev/shm/x bs=1M count=80 2>&1')).join()).toContain(
      'No space left',
    );
    const many = 'i=0; while true > /dev/f$i; do i=$((i+1)); done 2>/dev/null; test $i -lt 5000 && echo bounded';
    expect(await said(bounded, many)).toEqual(['bounded']);
  });

  it('disk: bytes and inodes end at the container’s limit, and it can still be entered', async () => {
    const container = await create({ diskBytes: 8 * MB, inodes: 400 });
    const files =
      'i=0; while true > /tmp/f$i; do i=$((i+1)); done 2>/dev/null; test $i -lt 400 && echo bounded; rm /tmp/f*';
    expect(await said(container, files)).toEqual(['bounded']);
    expect((await said(container, 'cat /dev/zero > /tmp/all 2>&1; cat /dev/zero > /etc/hosts')).join()).toContain(
      'No space left',
    );
    expect(await said(container, 'echo still here')).toEqual(['still here']);
    const { blocks } = await stat(join(cell.options.dataDir, 'containers', container.handle, 'disk.img'));
    expect(blocks * 512).toBeLessThan(14 * MB);
  });

  it('logs: floods of lines and of one endless line leave the cell responsive and the disk bounded', async () => {
    const container = await create();
    const floods = await Promise.all([
      sh(container, 'exec yes flood'),
      sh(container, 'exec cat /dev/zero'),
      sh(container, 'exec yes >&2'),
    ]);
    const readers = new AbortController();
    const reading = floods.map(async (flood) => {
      let longest = 0;
      for await (const { data } of flood.output(readers.signal)) longest = Math.max(longest, data.length);
      return longest;
    });
    const processes = join(cell.options.dataDir, 'containers', container.handle, 'processes');
    const sizes = async () =>
      Promise.all((await readdir(processes)).map(async (id) => (await stat(join(processes, id, 'log'))).size));
    // All three have gone beyond their bound at least once when the file was replaced; meanwhile others work.
    await expect.poll(async () => Math.max(...(await sizes())), { timeout: 30_000 }).toBeGreaterThan(MB / 2);
    for (let round = 0; round < 3; round++) {
      await works(bystander);
      expect(Math.max(...(await sizes()))).toBeLessThan(1.5 * MB);
    }
    readers.abort();
    for (const longest of await Promise.all(reading)) expect(longest).toBeLessThanOrEqual(64 * 1024);
    await Promise.all(floods.map((flood) => flood.signal('SIGKILL')));
  });
});

describe('standing still', () => {
  it('people’s processes that never end are so many and no more, and go with their container', async () => {
    const container = await create();
    const idle: InteractiveProcess[] = [];
    for (let i = 0; i < CELL.maxExecs; i++) idle.push(await person(container, 'exec cat'));
    await expect(person(container, 'true')).rejects.toThrow(
      `container '${container.handle}' has 6 such processes already`,
    );
    idle[0]?.kill();
    await idle[0]?.wait();
    await expect
      .poll(() => person(container, 'exit 7').then((process) => process.wait()), { timeout: 30_000 })
      .toMatchObject({ code: 7 });
    await garden.destroy(container.handle);
    await Promise.all(idle.map((process) => process.wait()));
  });

  it('input that a terminal’s process never reads is not kept in memory', async () => {
    const container = await create();
    const process = await person(container, 'stty raw -echo; exec sleep 1000', {
      term: 'xterm',
      columns: 80,
      rows: 24,
    });
    const chunk = Buffer.alloc(64 * 1024, 'x');
    let taken = 0;
    while (taken < 32 * MB) {
      if (process.stdin.write(chunk)) taken += chunk.length;
      else {
        const drained = new Promise<boolean>((resolve) => process.stdin.once('drain', () => resolve(true)));
        const quiet = systemClock.sleep(1000).then(() => false);
        if (!(await Promise.race([drained, quiet]))) break;
        taken += chunk.length;
      }
    }
    expect(taken).toBeLessThan(4 * MB);
    process.kill();
    await process.wait();
  });

  it('an archive that stops coming, and one that is not taken, fail after a while', async () => {
    const container = await create();
    const silent = new PassThrough();
    silent.write(Buffer.alloc(100));
    await expect(container.streamIn('/tmp/silent', 'root', silent)).rejects.toThrow(
      'stream-in: no byte was taken for 300 ms',
    );
    expect(silent.destroyed).toBe(true);
    await said(container, 'mkfifo /tmp/fifo; dd if=/dev/zero of=/tmp/big bs=1M count=8 2>/dev/null');
    // Who downloads and doesn't read, nor listens; and a file that gives nothing.
    const unread = await container.streamOut('/tmp/big', 'root');
    await new Promise((resolve) => unread.once('close', resolve));
    const stall = { kind: 'stream-failed', message: 'stream-out: no byte was taken for 300 ms' };
    expect(unread.errored).toMatchObject(stall);
    const pipe = await text(await container.streamOut('/tmp/fifo', 'root'));
    expect(pipe).toContain('fifo');
    // Whoever is inside stops the program that unpacks.
    const stopper = await sh(container, 'while :; do pkill -STOP busybox; done');
    const pack = tar.pack();
    pack.entry({ name: 'huge', size: 1024 * MB });
    const header = pack.read() as Buffer;
    const endless = Readable.from(
      (function* () {
        yield header;
        for (;;) yield Buffer.alloc(64 * 1024);
      })(),
    );
    await expect(container.streamIn('/tmp/stopped', 'root', endless)).rejects.toMatchObject({ kind: 'stream-failed' });
    await stopper.signal('SIGKILL');
    expect((await container.metrics()).pids).toBeLessThan(10);
  });
});

it('after all this the cell itself is as it was', async () => {
  await works(bystander);
  const hostname = (await readFile('/proc/sys/kernel/core_pattern', 'utf8')).trim();
  expect(hostname).not.toBe('x');
  const fresh = await create({ memoryBytes: 32 * MB, diskBytes: 16 * MB, pids: 10 });
  await works(fresh);
});
