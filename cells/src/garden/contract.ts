import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { systemClock } from '@rivera/kit/clock';
import tar from 'tar-stream';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type {
  EgressRule,
  Garden,
  GardenContainer,
  GardenProcess,
  GardenSpec,
  ProcessOutput,
  ProcessSpec,
} from './garden.js';
import { Gate } from './gate.js';

/** A program, as each backend spells it. */
export type Program = Pick<ProcessSpec, 'path' | 'args'>;

/** What a backend brings for the suite: a machine on which gardens come and go. */
export interface GardenWorld {
  /** A garden on the machine's data, started. */
  open(): Promise<Garden>;
  /** An existing root filesystem with the users root and vcap. */
  rootFs: string;
  programs: {
    exit(code: number, afterMs?: number): Program;
    /** Runs until it is signalled. */
    run(): Program;
    print(lines: string[]): Program;
    missing: Program;
    /** Writes each line of its input, and ends with it. */
    cat: Program;
    /** Writes `ROWS COLUMNS` of its terminal for each line of its input. */
    size: Program;
  };
  /** Kills what would tell the end of a process. */
  loseSupervisor(handle: string, id: string): Promise<void>;
  /** What is on the machine of containers that should be gone. */
  leaks(): Promise<string[]>;
  /** Removes the machine. */
  close(): Promise<void>;
}

/** A container without limits, for tests. */
export function plainSpec(handle: string, rootFs: string, more: Partial<GardenSpec> = {}): GardenSpec {
  const limits = { memoryBytes: 0, diskBytes: 0, pids: 0, cpuShares: 0 };
  return {
    handle,
    rootFs,
    env: {},
    properties: {},
    limits,
    ports: [],
    egress: [],
    mounts: [],
    privileged: false,
    ...more,
  };
}

/** A process of root in its home, for tests. */
export function plainProcess(id: string, program: Program, more: Partial<ProcessSpec> = {}): ProcessSpec {
  return { id, ...program, env: {}, dir: '', user: 'root', ...more };
}

/** All output of a process, as `stream: text` (`…` after what is partial). */
export async function collectOutput(process: GardenProcess): Promise<string[]> {
  const lines: string[] = [];
  for await (const entry of process.output()) lines.push(describeOutput(entry));
  return lines;
}

function describeOutput(entry: ProcessOutput): string {
  return `${entry.stream}: ${entry.data.toString()}${entry.partial ? '…' : ''}`;
}

/** What every garden does. */
export function gardenContract(name: string, makeWorld: () => Promise<GardenWorld>): void {
  describe(`garden contract: ${name}`, () => {
    let world: GardenWorld;
    let garden: Garden;
    let made = 0;
    const spec = (more: Partial<GardenSpec> = {}) => plainSpec(`c${++made}`, world.rootFs, more);
    const create = (more: Partial<GardenSpec> = {}) => garden.create(spec(more));
    const run = (container: GardenContainer, program: Program, more: Partial<ProcessSpec> = {}) =>
      container.run(plainProcess('p', program, more));
    const restart = async () => {
      await garden.close();
      garden = await world.open();
    };
    const again = (container: GardenContainer) => garden.lookup(container.handle) as GardenContainer;

    beforeAll(async () => {
      world = await makeWorld();
      garden = await world.open();
    });
    afterEach(async () => {
      await Promise.all(garden.list().map((container) => garden.destroy(container.handle)));
      expect(await world.leaks()).toEqual([]);
    });
    afterAll(async () => {
      await garden?.close();
      await world?.close();
    });

    describe('containers', () => {
      it('are listed from their creation to their destruction', async () => {
        const wanted = spec({ env: { A: '1' }, properties: { owner: 'me' } });
        const container = await garden.create(wanted);
        expect(container.spec).toEqual(wanted);
        expect(garden.list().map((each) => each.handle)).toEqual([wanted.handle]);
        expect(garden.lookup(wanted.handle)?.spec).toEqual(wanted);
        await garden.destroy(wanted.handle);
        expect(garden.list()).toEqual([]);
        expect(garden.lookup(wanted.handle)).toBeUndefined();
      });

      it('have a handle of their own, which is free again afterwards', async () => {
        const wanted = spec();
        await garden.create(wanted);
        await expect(garden.create(wanted)).rejects.toMatchObject({ kind: 'handle-in-use' });
        await garden.destroy(wanted.handle);
        await garden.create(wanted);
      });

      it('are refused with a reason', async () => {
        await expect(create({ rootFs: 'preloaded:nothing' })).rejects.toMatchObject({ kind: 'unknown-rootfs' });
        await expect(create({ rootFs: 'preloaded:../..' })).rejects.toMatchObject({ kind: 'unknown-rootfs' });
        await expect(create({ rootFs: 'gopher://x' })).rejects.toMatchObject({ kind: 'unsupported' });
        await expect(create({ privileged: true })).rejects.toMatchObject({ kind: 'unsupported' });
        await expect(create({ handle: '../x' })).rejects.toMatchObject({ kind: 'create-failed' });
        await expect(garden.destroy('nobody')).rejects.toMatchObject({ kind: 'not-found' });
        expect(garden.list()).toEqual([]);
      });

      it('can be made and destroyed eight at a time, with ports of their own', async () => {
        const containers = await Promise.all(Array.from({ length: 8 }, () => create({ ports: [8080, 2222] })));
        const ports = containers.flatMap((container) => container.info().ports.map((port) => port.hostPort));
        expect(new Set(ports).size).toBe(16);
        expect(new Set(containers.map((container) => container.info().containerAddress)).size).toBe(8);
        await Promise.all(containers.map((container) => garden.destroy(container.handle)));
        expect(garden.list()).toEqual([]);
      });

      it('are destroyed once, however many ask for it', async () => {
        const { handle } = await create();
        const asked = await Promise.allSettled([garden.destroy(handle), garden.destroy(handle)]);
        expect(asked[0].status).toBe('fulfilled');
        // The second shares the first's destruction, or comes when all is over.
        if (asked[1].status === 'rejected') expect(asked[1].reason).toMatchObject({ kind: 'not-found' });
        expect(garden.lookup(handle)).toBeUndefined();
      });

      it('offer what was asked for', async () => {
        const container = await create({ ports: [8080, 9090] });
        const { ports } = container.info();
        expect(ports.map((port) => port.containerPort)).toEqual([8080, 9090]);
        expect((await garden.capacity()).memoryMb).toBeGreaterThan(0);
        expect(await garden.preloadedRootFs()).toContain(world.rootFs.replace('preloaded:', ''));
        const process = await run(container, world.programs.run());
        expect((await container.metrics()).pids).toBeGreaterThan(0);
        await process.signal('SIGKILL');
      });
    });

    describe('networks', () => {
      it('are opened further while the container lives, and stay so', async () => {
        const container = await create({ ports: [8080] });
        const chosen = await container.netIn({});
        expect(chosen.containerPort).toBe(chosen.hostPort);
        const led = await container.netIn({ containerPort: 9090 });
        expect(led.containerPort).toBe(9090);
        const rule = { networks: [], ports: [{ start: 1, end: 9 }], log: false };
        await container.netOut([{ protocol: 'tcp', ...rule }]);
        await container.netOut([]);
        const all = [...container.info().ports];
        expect(all.slice(1)).toEqual([chosen, led]);
        expect(new Set(all.map(({ hostPort }) => hostPort)).size).toBe(3);
        await restart();
        expect(again(container).info().ports).toEqual(all);
        const later = await again(container).netIn({});
        expect(all.map(({ hostPort }) => hostPort)).not.toContain(later.hostPort);
      });

      it('have a host port that was asked for, once', async () => {
        const [first, second] = [await create(), await create()];
        const { hostPort } = await first.netIn({});
        const refusal = { kind: 'no-ports', message: `port already acquired: ${hostPort}` };
        await expect(second.netIn({ hostPort })).rejects.toMatchObject(refusal);
        await expect(first.netIn({ hostPort, containerPort: 1 })).rejects.toMatchObject(refusal);
        await garden.destroy(first.handle);
        expect(await second.netIn({ hostPort, containerPort: 80 })).toEqual({ hostPort, containerPort: 80 });
        expect(second.info().ports).toEqual([{ hostPort, containerPort: 80 }]);
      });

      it('refuse what makes no sense, with a reason', async () => {
        const container = await create();
        const rule: EgressRule = { protocol: 'tcp', networks: [], ports: [{ start: 2, end: 1 }], log: false };
        const refusal = { kind: 'invalid', message: expect.stringContaining('ports[0]: 2-1') };
        await expect(container.netOut([rule])).rejects.toMatchObject(refusal);
        await expect(create({ egress: [rule] })).rejects.toMatchObject(refusal);
        for (const port of [-1, 65_536, 1.5]) {
          await expect(container.netIn({ hostPort: port })).rejects.toMatchObject({ kind: 'invalid' });
          await expect(container.netIn({ containerPort: port })).rejects.toMatchObject({ kind: 'invalid' });
        }
        expect(container.info().ports).toEqual([]);
      });
    });

    describe('containers in use', () => {
      it('keep properties, of which each can be read, set and taken away, also by a later garden', async () => {
        const container = await create({ properties: { owner: 'me', kept: 'yes' } });
        await Promise.all([container.setProperty('a', '1'), container.setProperty('owner', 'you')]);
        await container.setProperty('a', '2');
        await container.removeProperty('kept');
        await container.removeProperty('never there');
        expect(() => container.property('kept')).toThrow(
          expect.objectContaining({ kind: 'property-not-found', message: 'property does not exist: kept' }),
        );
        await restart();
        expect(again(container).spec.properties).toEqual({ owner: 'you', a: '2' });
        expect(again(container).property('a')).toBe('2');
        for (const [name, value] of [
          ['', 'x'],
          ['n'.repeat(257), 'x'],
          ['n', 'v'.repeat(16 * 1024 + 1)],
        ] as const)
          await expect(again(container).setProperty(name, value)).rejects.toMatchObject({ kind: 'invalid' });
      });

      it('are found by all the properties that are asked for', async () => {
        const first = await create({ properties: { a: '1', b: '1' } });
        const second = await create({ properties: { a: '1', b: '2' } });
        const found = (properties: Record<string, string>) => garden.list(properties).map(({ handle }) => handle);
        expect(found({ a: '1' }).sort()).toEqual([first.handle, second.handle].sort());
        expect(found({ a: '1', b: '2' })).toEqual([second.handle]);
        expect(found({ a: '1', c: '' })).toEqual([]);
        expect(found({ toString: '' })).toEqual([]);
      });

      it('have limits that can be read and, but for the disk, changed for good', async () => {
        const mib = 1024 * 1024;
        const limits = { memoryBytes: 64 * mib, diskBytes: 8 * mib, pids: 64, cpuShares: 100 };
        const container = await create({ limits });
        expect(await container.limits()).toEqual(limits);
        const changed = { ...limits, memoryBytes: 32 * mib, pids: 32, cpuShares: 200 };
        expect(await container.setLimits({ memoryBytes: 32 * mib, pids: 32, cpuShares: 200 })).toEqual(changed);
        expect(await container.setLimits({ diskBytes: 8 * mib })).toEqual(changed);
        await expect(container.setLimits({ pids: 16, diskBytes: 9 * mib })).rejects.toMatchObject({
          kind: 'unsupported',
        });
        await expect(container.setLimits({ memoryBytes: -1 })).rejects.toMatchObject({ kind: 'invalid' });
        await restart();
        expect(await again(container).limits()).toEqual(changed);
        expect(again(container).spec.limits).toEqual(changed);
        expect(await again(container).setLimits({ memoryBytes: 0, pids: 0, cpuShares: 0 })).toEqual({
          ...changed,
          memoryBytes: 0,
          pids: 0,
          cpuShares: 0,
        });
      });

      it('tell where they are in their life, one by one and in bulk', async () => {
        const [container, other] = [await create(), await create()];
        await (await run(container, world.programs.exit(0), { id: 'over' })).wait();
        await run(container, world.programs.run(), { id: 'on' });
        const active = { state: 'active', events: [] };
        const over = { id: 'over', ended: true };
        const status = await container.status();
        expect(status).toMatchObject(active);
        expect(status.processes).toHaveLength(2);
        expect(status.processes).toEqual(expect.arrayContaining([over, { id: 'on', ended: false }]));
        await container.stop(0);
        await restart();
        const handles = [container.handle, other.handle, 'nobody'];
        const statuses = await garden.bulkStatus(handles);
        expect([...statuses.keys()]).toEqual(handles);
        expect(statuses.get(container.handle)).toMatchObject({ state: 'stopped' });
        expect(statuses.get(other.handle)).toEqual({ ...active, processes: [] });
        const missing = { kind: 'not-found', message: 'unknown handle: nobody' };
        expect(statuses.get('nobody')).toMatchObject(missing);
        const metrics = await garden.bulkMetrics(handles);
        expect(metrics.get(other.handle)).toMatchObject({ ageMs: expect.any(Number) });
        expect(metrics.get('nobody')).toMatchObject(missing);
        await garden.ping();
      });

      it('go by themselves when nobody has used them for their grace time, and not while somebody does', async () => {
        const graceTimeMs = 300;
        const forgotten = await create({ graceTimeMs });
        const used = await create({ graceTimeMs });
        const leaving = new AbortController();
        const process = await run(used, world.programs.run());
        const waiting = process.wait(leaving.signal).catch(() => 'left');
        const gone = (handle: string) =>
          vi.waitFor(() => expect(garden.lookup(handle)).toBeUndefined(), { timeout: 30_000, interval: 10 });
        await gone(forgotten.handle);
        await systemClock.sleep(2 * graceTimeMs);
        expect(garden.lookup(used.handle)).toBeDefined();
        leaving.abort();
        expect(await waiting).toBe('left');
        await gone(used.handle);
      });

      it('keep a grace time that was given to them later', async () => {
        const container = await create();
        await expect(container.setGraceTime(-1)).rejects.toMatchObject({ kind: 'invalid' });
        await container.setGraceTime(3_600_000);
        await restart();
        expect(again(container).spec.graceTimeMs).toBe(3_600_000);
        await again(container).setGraceTime(1);
        await vi.waitFor(() => expect(garden.list()).toEqual([]), { timeout: 30_000, interval: 10 });
      });
    });

    describe('processes', () => {
      it('take input until it ends', async () => {
        const process = await run(await create(), world.programs.cat, { stdin: true });
        await process.write(Buffer.from('one\ntw'));
        await process.write(Buffer.from('o\n'));
        await process.closeStdin();
        // How it is cut depends on when it was read.
        const lines = await collectOutput(process);
        expect(lines.join('\n').replace(/…\nstdout: /g, '')).toBe('stdout: one\nstdout: two');
        expect(await process.wait()).toMatchObject({ code: 0 });
        await process.write(Buffer.from('nobody hears this'));
        await process.closeStdin();
      });

      it('take none that were run without', async () => {
        const process = await run(await create(), world.programs.run());
        await expect(process.write(Buffer.from('x'))).rejects.toMatchObject({ kind: 'no-stdin' });
        await expect(process.closeStdin()).rejects.toMatchObject({ kind: 'no-stdin' });
        await process.resize({ columns: 1, rows: 1 });
      });

      it('have a terminal that a later garden can write to and resize', async () => {
        const terminal = { term: 'xterm', columns: 80, rows: 24 };
        const container = await create();
        const process = await run(container, world.programs.size, { terminal });
        const says = async (from: GardenProcess, text: string) => {
          await from.write(Buffer.from('\n'));
          const lines: string[] = [];
          for await (const { data } of from.output()) {
            lines.push(data.toString().trim());
            if (lines.includes(text)) return;
          }
          expect(lines).toContain(text);
        };
        await says(process, '24 80');
        await restart();
        const later = again(container).attach('p') as GardenProcess;
        await later.resize({ columns: 132, rows: 50 });
        await says(later, '50 132');
        await later.signal('SIGKILL');
        expect(await later.wait()).toMatchObject({ code: 137 });
      });

      it('run within a share of memory that makes sense', async () => {
        const container = await create();
        const memoryShare = { name: 'part', bytes: 64 * 1024 * 1024 };
        for (const wrong of [{ name: '/' }, { bytes: 0 }]) {
          const share = { ...memoryShare, ...wrong };
          await expect(run(container, world.programs.exit(0), { memoryShare: share })).rejects.toMatchObject({
            kind: 'invalid',
          });
        }
        const process = await run(container, world.programs.exit(3), { memoryShare });
        expect(await process.wait()).toEqual({ code: 3, outOfMemory: false });
      });

      it('let those go that wait for them and want to', async () => {
        const process = await run(await create(), world.programs.run());
        const abort = new AbortController();
        const waiting = expect(process.wait(abort.signal)).rejects.toThrow('enough');
        abort.abort(new Error('enough'));
        await waiting;
        await expect(process.wait(abort.signal)).rejects.toThrow('enough');
      });

      it('tell how they ended, also to those who ask later', async () => {
        const container = await create();
        const process = await run(container, world.programs.exit(3));
        expect(await process.wait()).toMatchObject({ code: 3, outOfMemory: false });
        expect(await process.wait()).toMatchObject({ code: 3 });
        expect(await container.attach('p')?.wait()).toMatchObject({ code: 3 });
        expect(container.attach('q')).toBeUndefined();
        await process.signal('SIGTERM');
      });

      it('end with 128 + n by a signal', async () => {
        const container = await create();
        const term = await run(container, world.programs.run(), { id: 'term' });
        const kill = await run(container, world.programs.run(), { id: 'kill' });
        await Promise.all([term.signal('SIGTERM'), kill.signal('SIGKILL')]);
        expect(await term.wait()).toMatchObject({ code: 143 });
        expect(await kill.wait()).toMatchObject({ code: 137 });
      });

      it('never share an id, not even with one that has ended', async () => {
        const container = await create();
        await (await run(container, world.programs.exit(0))).wait();
        await expect(run(container, world.programs.exit(0))).rejects.toMatchObject({ kind: 'process-exists' });
        await restart();
        await expect(run(again(container), world.programs.exit(0))).rejects.toMatchObject({ kind: 'process-exists' });
      });

      it('are refused with a reason', async () => {
        const container = await create();
        await expect(run(container, world.programs.missing, { id: 'a' })).rejects.toMatchObject({
          kind: 'process-failed',
        });
        await expect(run(container, world.programs.run(), { id: 'b', user: 'stranger' })).rejects.toMatchObject({
          kind: 'process-failed',
        });
        await expect(run(container, world.programs.run(), { id: '../x' })).rejects.toMatchObject({
          kind: 'process-failed',
        });
        const process = await run(container, world.programs.exit(0), { id: 'c', user: 'vcap' });
        expect(await process.wait()).toMatchObject({ code: 0 });
      });

      it('have their output read from its start, by each reader', async () => {
        const process = await run(await create(), world.programs.print(['one', 'two']));
        expect(await collectOutput(process)).toEqual(['stdout: one', 'stdout: two']);
        expect(await collectOutput(process)).toEqual(['stdout: one', 'stdout: two']);
      });

      it('let readers go when these want to', async () => {
        const process = await run(await create(), world.programs.run());
        const abort = new AbortController();
        const reading = process.output(abort.signal)[Symbol.asyncIterator]().next();
        abort.abort();
        expect((await reading).done).toBe(true);
        await process.signal('SIGKILL');
      });

      it('all end when the container stops, which stays usable', async () => {
        const container = await create();
        const first = await run(container, world.programs.run(), { id: '1' });
        const second = await run(container, world.programs.run(), { id: '2' });
        await container.stop(5000);
        expect((await first.wait()).code).toBe(143);
        expect((await second.wait()).code).toBe(143);
        expect((await (await run(container, world.programs.exit(4), { id: '3' })).wait()).code).toBe(4);
      });

      it('end with their container, and their waiters are told', async () => {
        const container = await create();
        const process = await run(container, world.programs.run());
        const [end] = await Promise.all([process.wait(), garden.destroy(container.handle)]);
        expect(end.code === 137 || end.lost !== undefined).toBe(true);
      });
    });

    describe('a later garden on the same data', () => {
      it('finds containers as they were', async () => {
        const container = await create({ env: { A: '1' }, ports: [8080], properties: { p: 'q' } });
        const gone = await create();
        await garden.destroy(gone.handle);
        await restart();
        expect(garden.list().map((each) => each.handle)).toEqual([container.handle]);
        expect(again(container).spec).toEqual(container.spec);
        expect(again(container).info()).toEqual(container.info());
      });

      it('reaches processes that go on, and knows how those ended that did not', async () => {
        const container = await create();
        await run(container, world.programs.run(), { id: 'on' });
        const short = await run(container, world.programs.exit(5), { id: 'short' });
        await short.wait();
        await run(container, world.programs.print(['hello']), { id: 'said' });
        await garden.close();
        garden = await world.open();
        expect((await again(container).attach('short')?.wait())?.code).toBe(5);
        expect(await collectOutput(again(container).attach('said') as GardenProcess)).toEqual(['stdout: hello']);
        const on = again(container).attach('on') as GardenProcess;
        await on.signal('SIGTERM');
        expect((await on.wait()).code).toBe(143);
      });

      it('learns the exit of a process that ended while there was no garden', async () => {
        const container = await create();
        await run(container, world.programs.exit(6, 150));
        await garden.close();
        const waited = new Gate().next(AbortSignal.timeout(300));
        await waited;
        garden = await world.open();
        expect(await again(container).attach('p')?.wait()).toMatchObject({ code: 6 });
        expect((await again(container).attach('p')?.wait())?.lost).toBeUndefined();
      });

      it('says so of a process whose end nobody saw', async () => {
        const container = await create();
        await run(container, world.programs.run());
        await world.loseSupervisor(container.handle, 'p');
        await restart();
        const end = await again(container).attach('p')?.wait();
        expect(end?.lost).toBeTruthy();
      });

      it('leaves the waiters of the closed one with an error, not for ever', async () => {
        const process = await run(await create(), world.programs.run());
        const waiting = expect(process.wait()).rejects.toMatchObject({ kind: 'closed' });
        await restart();
        await waiting;
        await expect(collectOutput(process)).rejects.toMatchObject({ kind: 'closed' });
      });
    });

    describe('files', () => {
      const archive = (entries: { name: string; mode: number; content: string }[]): Readable => {
        const pack = tar.pack();
        for (const { name, mode, content } of entries) pack.entry({ name, mode }, content);
        pack.finalize();
        return Readable.from(pack);
      };
      const unpack = async (stream: Readable) => {
        const found: Record<string, string> = {};
        for await (const entry of stream.pipe(tar.extract()) as AsyncIterable<Readable & { header: tar.Header }>) {
          const content = await buffer(entry);
          if (entry.header.type === 'file')
            found[entry.header.name.replace(/^\.\//, '')] = `${(entry.header.mode ?? 0).toString(8)} ${content}`;
        }
        return found;
      };

      it('go in and come out with their modes', async () => {
        const container = await create();
        const entries = [
          { name: 'a', mode: 0o640, content: 'first' },
          { name: 'sub/b', mode: 0o755, content: 'second' },
        ];
        await container.streamIn('/home/vcap/app', 'vcap', archive(entries));
        expect(await unpack(await container.streamOut('/home/vcap/app/', 'vcap'))).toEqual({
          a: '640 first',
          'sub/b': '755 second',
        });
        expect(await unpack(await container.streamOut('/home/vcap/app', 'vcap'))).toEqual({
          'app/a': '640 first',
          'app/sub/b': '755 second',
        });
        expect(await unpack(await container.streamOut('/home/vcap/app/a', 'root'))).toEqual({ a: '640 first' });
      });

      it('are not waited for when nobody sends them any more', async () => {
        const container = await create();
        const gone = new Readable({ read: () => undefined });
        gone.on('error', () => undefined);
        gone.destroy(new Error('gone'));
        await expect(container.streamIn('/home', 'root', gone)).rejects.toMatchObject({ kind: 'stream-failed' });
        const leaving = new Readable({ read: () => undefined });
        leaving.push(Buffer.alloc(100));
        const sending = container.streamIn('/home', 'root', leaving);
        setImmediate(() => leaving.destroy(new Error('left')));
        leaving.on('error', () => undefined);
        await expect(sending).rejects.toMatchObject({ kind: 'stream-failed' });
      });

      it('keep their owners when root brings them, and are the user’s otherwise', async () => {
        const container = await create();
        const owned = (): Readable => {
          const pack = tar.pack();
          pack.entry({ name: 'f', uid: 1234, gid: 4321 }, 'x');
          pack.finalize();
          return Readable.from(pack);
        };
        await container.streamIn('/home/vcap/root', 'root', owned());
        await container.streamIn('/home/vcap/own', 'vcap', owned());
        const ownerOf = async (path: string) => {
          const extract = (await container.streamOut(path, 'root')).pipe(tar.extract());
          for await (const { header } of extract as AsyncIterable<{ header: tar.Header; resume(): void }>)
            return [header.uid, header.gid];
          return [];
        };
        expect(await ownerOf('/home/vcap/root/f')).toEqual([1234, 4321]);
        expect(await ownerOf('/home/vcap/own/f')).toEqual([1000, 1000]);
      });

      it('are told to be missing', async () => {
        const container = await create();
        await expect(container.streamOut('/no/such/thing', 'root')).rejects.toMatchObject({ kind: 'path-not-found' });
        await expect(container.streamIn('/x', 'root', Readable.from([Buffer.alloc(2000, 'x')]))).rejects.toMatchObject({
          kind: 'stream-failed',
        });
      });
    });

    describe('people', () => {
      it('run a program and see its output and exit', async () => {
        const container = await create();
        const exec = { env: {}, dir: '', user: 'root' };
        const person = await container.exec({ ...exec, ...world.programs.print(['hi']) });
        expect((await buffer(person.stdout)).toString()).toBe('hi\n');
        person.stderr.resume();
        expect(await person.wait()).toMatchObject({ code: 0 });
        person.kill();
        await expect(container.exec({ ...exec, ...world.programs.missing })).rejects.toMatchObject({
          kind: 'process-failed',
        });
      });

      it('end a program at any time', async () => {
        const container = await create();
        const person = await container.exec({ env: {}, dir: '', user: 'root', ...world.programs.run() });
        person.stdout.resume();
        person.stderr.resume();
        person.kill();
        expect((await person.wait()).code).not.toBe(0);
      });
    });
  });
}
