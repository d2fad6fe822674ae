/** What every journal must do. Its tests call `journalContract` with a factory. */
import { describe, expect, it } from 'vitest';
import { type Journal, JournalError, type JournalErrorKind, type JournalRows } from './journal.js';
import {
  AWKWARD_TEXT,
  emptyActualLrp,
  emptyDesiredLrp,
  emptyTask,
  sampleActualLrp,
  sampleBatch,
  sampleCell,
  sampleDesiredLrp,
  sampleTask,
} from './sample-rows.js';

/** One empty store, and journals on it. */
export interface JournalStore {
  journal(): Journal;
}

type AllRows = Required<JournalRows>;

async function loadAll(journal: Journal): Promise<AllRows> {
  const all: AllRows = { tasks: [], desiredLrps: [], actualLrps: [], domains: [], cells: [] };
  for await (const part of journal.load()) {
    all.tasks.push(...(part.tasks ?? []));
    all.desiredLrps.push(...(part.desiredLrps ?? []));
    all.actualLrps.push(...(part.actualLrps ?? []));
    all.domains.push(...(part.domains ?? []));
    all.cells.push(...(part.cells ?? []));
  }
  return all;
}

/** What a new leader would see. */
async function reloaded(store: JournalStore, epoch: number): Promise<AllRows & { revision: number }> {
  const journal = store.journal();
  const { revision } = await journal.open(epoch);
  const rows = await loadAll(journal);
  await journal.close();
  return { ...rows, revision };
}

async function kindOf(work: Promise<unknown>): Promise<JournalErrorKind | 'no error'> {
  try {
    await work;
    return 'no error';
  } catch (error) {
    if (error instanceof JournalError) return error.kind;
    throw error;
  }
}

function namesOf(rows: JournalRows): string[] {
  return [
    ...(rows.tasks ?? []).map(({ guid }) => guid),
    ...(rows.desiredLrps ?? []).map(({ processGuid }) => processGuid),
    ...(rows.cells ?? []).map(({ cellId }) => cellId),
  ];
}

/** @param open an empty store for each test */
export function journalContract(name: string, open: () => Promise<JournalStore>): void {
  describe(`${name}: handing over`, () => {
    const everything = async (rows: AsyncIterable<JournalRows>): Promise<string[]> => {
      const names: string[] = [];
      for await (const part of rows) names.push(...namesOf(part));
      return names.sort();
    };

    it('shows everything to who does not lead, and lets the leader go on', async () => {
      const store = await open();
      const leader = store.journal();
      await leader.open(3);
      await leader.commit(sampleBatch(3, 0, { tasks: [sampleTask()], desiredLrps: [sampleDesiredLrp()] }));
      const follower = store.journal();
      const preview = await follower.preview();
      expect(preview).toMatchObject({ epoch: 3, revision: 1 });
      await leader.commit(sampleBatch(3, 1, { cells: [sampleCell()] }));
      expect(await everything(preview.rows)).toEqual(['process-1', 'task-1']);
      await leader.close();
      await follower.close();
    });

    it('reads rows by their keys; what is gone is not among them', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      const generation = sampleActualLrp({ generation: 'instance-9' });
      await journal.commit(
        sampleBatch(1, 0, {
          tasks: [sampleTask()],
          desiredLrps: [sampleDesiredLrp()],
          actualLrps: [sampleActualLrp(), generation, sampleActualLrp({ index: 7 })],
          cells: [sampleCell()],
          domains: [{ domain: 'domain-a', expiresAtMs: 5 }],
        }),
      );
      await journal.open(2);
      const rows = await journal.reread({
        tasks: ['task-1', 'gone'],
        desiredLrps: ['gone'],
        actualLrps: [
          ['process-1', 2, ''],
          ['process-1', 2, 'instance-9'],
          ['process-1', 3, ''],
        ],
        domains: ['domain-a'],
        cells: [],
      });
      expect(rows.tasks).toEqual([sampleTask()]);
      expect(rows.actualLrps).toHaveLength(2);
      expect(rows.actualLrps).toEqual(expect.arrayContaining([sampleActualLrp(), generation]));
      expect(rows.domains).toEqual([{ domain: 'domain-a', expiresAtMs: 5 }]);
      expect([rows.desiredLrps, rows.cells]).toEqual([[], []]);
      await journal.close();
    });

    it('is fenced when another term has begun, and of use only before the first commit of its own', async () => {
      const keys = { tasks: [], desiredLrps: [], actualLrps: [], domains: ['domain-a'], cells: [] };
      const store = await open();
      const [journal, other] = [store.journal(), store.journal()];
      await journal.open(1);
      await journal.commit(sampleBatch(1, 0, { domains: [{ domain: 'domain-a', expiresAtMs: 5 }] }));
      await expect(journal.reread(keys)).rejects.toThrow('a term is read before its first commit');
      await other.open(2);
      await expect(journal.reread(keys)).rejects.toMatchObject({ kind: 'fenced' });
      expect((await other.reread(keys)).domains).toHaveLength(1);
      await Promise.all([journal.close(), other.close()]);
    });

    it('keeps the latest word between the two', async () => {
      const store = await open();
      const [leader, follower] = [store.journal(), store.journal()];
      expect(await follower.readHandover()).toBeUndefined();
      const changed = { tasks: [], desiredLrps: ['ü'], actualLrps: [], domains: [], cells: [] };
      await leader.writeHandover({ epoch: 1 });
      await leader.writeHandover({ epoch: 1, preparedRevision: 4, end: { revision: 5, changed } });
      expect(await follower.readHandover()).toEqual({ epoch: 1, preparedRevision: 4, end: { revision: 5, changed } });
    });
  });

  describe(`${name}: what is committed`, () => {
    it('comes back with every field as it was', async () => {
      const store = await open();
      const journal = store.journal();
      expect(await journal.open(1)).toEqual({ revision: 0 });
      const tasks = [emptyTask('task-0'), sampleTask()];
      const desiredLrps = [emptyDesiredLrp('process-0'), sampleDesiredLrp()];
      const actualLrps = [
        emptyActualLrp('process-0', 0),
        sampleActualLrp(),
        sampleActualLrp({ generation: 'instance-9' }),
      ];
      const domains = [
        { domain: AWKWARD_TEXT, expiresAtMs: Number.MAX_SAFE_INTEGER },
        { domain: 'domain-a', expiresAtMs: 0 },
      ];
      const cells = [sampleCell()];
      await journal.commit(sampleBatch(1, 0, { tasks, desiredLrps, actualLrps, domains, cells }));
      expect(await reloaded(store, 2)).toEqual({ revision: 1, tasks, desiredLrps, actualLrps, domains, cells });
    });

    it('keeps what a newer peer said in fields that this program does not know', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      const unknown = { _unknownFields: { 802: [new Uint8Array([3, 97, 98, 99])] } };
      const { netInfo } = sampleActualLrp();
      if (netInfo === undefined) throw new Error('the sample has a network');
      const row = sampleActualLrp({ netInfo: { ...netInfo, ...unknown } });
      await journal.commit(sampleBatch(1, 0, { actualLrps: [row] }));
      const [loaded] = (await reloaded(store, 2)).actualLrps;
      expect(Buffer.from(loaded?.netInfo?._unknownFields?.[802]?.[0] ?? [])).toEqual(Buffer.from([3, 97, 98, 99]));
    });

    it('tells identifiers apart by case, accents, spaces at the end and everything else', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      const names = ['a', 'A', 'ä', 'a ', ' a', 'a\0', 'a\t', 'ａ', '🚀'];
      const domains = names.map((domain, position) => ({ domain, expiresAtMs: position }));
      await journal.commit(sampleBatch(1, 0, { domains }));
      await journal.commit(sampleBatch(1, 1, { domains: ['a ', 'A'] }));
      const left = (await reloaded(store, 2)).domains;
      expect(new Set(left.map((row) => row.domain))).toEqual(
        new Set(names.filter((each) => each !== 'a ' && each !== 'A')),
      );
    });

    it('replaces what was there under the same key', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      const content = { tasks: [sampleTask()], actualLrps: [sampleActualLrp()], cells: [sampleCell()] };
      await journal.commit(
        sampleBatch(1, 0, { ...content, desiredLrps: [sampleDesiredLrp()], runInfos: { p: bytes(5) } }),
      );
      const tasks = [emptyTask('task-1')];
      const desiredLrps = [emptyDesiredLrp('process-1')];
      const actualLrps = [emptyActualLrp('process-1', 2)];
      const cells = [sampleCell({ missing: true, evacuating: false })];
      await journal.commit(sampleBatch(1, 1, { tasks, desiredLrps, actualLrps, cells, runInfos: { p: bytes(0) } }));
      expect(await reloaded(store, 2)).toEqual({ revision: 2, tasks, desiredLrps, actualLrps, cells, domains: [] });
      expect(await journal.readRunInfos(['p'])).toEqual(new Map([['p', bytes(0)]]));
    });

    it('goes when it is deleted, and deleting what is not there is harmless', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      const slots = [0, 1, 2].flatMap((index) => [
        sampleActualLrp({ index }),
        sampleActualLrp({ index, generation: 'g' }),
      ]);
      await journal.commit(
        sampleBatch(1, 0, {
          tasks: [sampleTask()],
          desiredLrps: [sampleDesiredLrp()],
          actualLrps: slots,
          domains: [{ domain: 'd', expiresAtMs: 1 }],
          cells: [sampleCell()],
          taskDefinitions: { 'task-1': bytes(3) },
          runInfos: { 'process-1': bytes(3) },
        }),
      );
      await journal.commit(
        sampleBatch(1, 1, {
          tasks: ['task-1', 'never'],
          desiredLrps: ['process-1'],
          deletedActualLrps: [
            sampleActualLrp({ index: 1 }),
            sampleActualLrp({ index: 2, generation: 'g' }),
            sampleActualLrp({ index: 9 }),
          ],
          domains: ['d'],
          cells: ['cell-1'],
          taskDefinitions: { 'task-1': null },
          runInfos: { 'process-1': null },
        }),
      );
      const rows = await reloaded(store, 2);
      expect(rows.actualLrps.map((row) => [row.index, row.generation])).toEqual([
        [0, ''],
        [0, 'g'],
        [1, 'g'],
        [2, ''],
      ]);
      expect({ ...rows, actualLrps: [] }).toEqual({
        revision: 2,
        tasks: [],
        desiredLrps: [],
        actualLrps: [],
        domains: [],
        cells: [],
      });
      expect(await journal.readTaskDefinitions(['task-1'])).toEqual(new Map());
      expect(await journal.readRunInfos(['process-1'])).toEqual(new Map());
    });

    it('is all of a batch or nothing', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      const impossible = sampleBatch(1, 0, {
        tasks: [sampleTask()],
        actualLrps: [sampleActualLrp()],
        domains: [{ domain: 'x'.repeat(2000), expiresAtMs: 0 }],
        runInfos: { p: bytes(3) },
      });
      expect(await kindOf(journal.commit(impossible))).toBe('rejected');
      const fraction = sampleBatch(1, 0, { tasks: [sampleTask()], domains: [{ domain: 'x', expiresAtMs: 0.5 }] });
      expect(await kindOf(journal.commit(fraction))).toBe('rejected');
      const count = sampleBatch(1, 0, {
        tasks: [sampleTask()],
        desiredLrps: [sampleDesiredLrp({ instances: 2 ** 40 })],
      });
      expect(await kindOf(journal.commit(count))).toBe('rejected');

      await journal.commit(sampleBatch(1, 0, { domains: [{ domain: 'next', expiresAtMs: 0 }] }));
      const rows = await reloaded(store, 2);
      expect(rows).toMatchObject({ revision: 1, tasks: [], actualLrps: [], domains: [{ domain: 'next' }] });
      expect(await journal.readRunInfos(['p'])).toEqual(new Map());
    });

    it('may be nothing but the next revision', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      await journal.commit({ ...sampleBatch(1, 0, {}), revision: 17 });
      expect((await reloaded(store, 2)).revision).toBe(17);
    });
  });

  describe(`${name}: payloads`, () => {
    it('come back byte for byte, up to 4 MiB, in the order that the guids ask for nothing else', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      const large = bytes(4 * 1024 * 1024);
      await journal.commit(
        sampleBatch(1, 0, {
          taskDefinitions: { large, small: bytes(256), empty: bytes(0) },
          runInfos: { large: bytes(7) },
        }),
      );
      const found = await journal.readTaskDefinitions(['small', 'missing', 'empty', 'large']);
      expect([...found.keys()].sort()).toEqual(['empty', 'large', 'small']);
      expect(found.get('empty')).toEqual(bytes(0));
      expect(found.get('small')).toEqual(bytes(256));
      expect(Buffer.compare(found.get('large') ?? bytes(0), large)).toBe(0);
      expect(await journal.readRunInfos(['large', 'small'])).toEqual(new Map([['large', bytes(7)]]));
      expect(await journal.readRunInfos([])).toEqual(new Map());
    });

    it('can be read by the hundred', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      const runInfos = Object.fromEntries(
        Array.from({ length: 350 }, (_, position) => [`p-${position}`, bytes(position)]),
      );
      await journal.commit(sampleBatch(1, 0, { runInfos }));
      expect(await journal.readRunInfos(Object.keys(runInfos))).toEqual(new Map(Object.entries(runInfos)));
    });
  });

  describe(`${name}: a load`, () => {
    it('gives more than 10,000 rows in bounded parts, in order of key, each once', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      // Six slots a process, so that parts end within a process, and within a slot.
      const actualLrps = Array.from({ length: 10_006 }, (_, position) =>
        emptyActualLrp(`process-${String(Math.floor(position / 6)).padStart(5, '0')}`, Math.floor((position % 6) / 2)),
      ).map((row, position) => (position % 2 === 0 ? row : { ...row, generation: 'g' }));
      await journal.commit(sampleBatch(1, 0, { actualLrps, tasks: [sampleTask()] }));

      const successor = store.journal();
      await successor.open(2);
      const loaded = [];
      let parts = 0;
      for await (const part of successor.load()) {
        parts += 1;
        expect((part.actualLrps ?? []).length).toBeLessThanOrEqual(5_000);
        loaded.push(...(part.actualLrps ?? []));
      }
      expect(parts).toBeGreaterThan(2);
      expect(loaded).toEqual(actualLrps);
    });

    it('can be left before its end', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      await journal.commit(sampleBatch(1, 0, { tasks: [sampleTask()], domains: [{ domain: 'd', expiresAtMs: 0 }] }));
      await journal.open(1);
      for await (const _ of journal.load()) break;
      await journal.commit(sampleBatch(1, 1, {}));
    });

    it('shows one moment, even when a successor begins to write in the middle of it', async () => {
      const store = await open();
      const first = store.journal();
      await first.open(1);
      await first.commit(sampleBatch(1, 0, { domains: [{ domain: 'd', expiresAtMs: 0 }], tasks: [sampleTask()] }));
      await first.open(1);
      const seen: string[] = [];
      for await (const part of first.load()) {
        seen.push(...(part.tasks ?? []).map((row) => row.guid));
        if (part.domains === undefined) continue;
        const second = store.journal();
        await second.open(2);
        await second.commit(sampleBatch(2, 1, { tasks: ['task-1', sampleTask({ guid: 'task-2' })] }));
      }
      expect(seen).toEqual(['task-1']);
    });

    it('is refused to a deposed writer', async () => {
      const store = await open();
      const first = store.journal();
      await first.open(1);
      await store.journal().open(2);
      expect(await kindOf(loadAll(first))).toBe('fenced');
    });
  });

  describe(`${name}: what it tells of itself`, () => {
    it('is that everything could be decoded, when everything could', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      await journal.commit(sampleBatch(1, 0, { desiredLrps: [sampleDesiredLrp()], tasks: [sampleTask()] }));
      await journal.open(1);
      await loadAll(journal);
      expect(journal.quarantined()).toEqual({ rows: 0, processGuids: new Set() });
      expect(await journal.quarantinedRows(10)).toEqual([]);
      await journal.close();
    });

    it('has at most one key that is written under', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      const active = (await journal.encryptionStatus()).filter((status) => status.active);
      expect(active.length).toBeLessThanOrEqual(1);
      expect(active.every(({ finishedAtMs }) => finishedAtMs === 0)).toBe(true);
      await journal.close();
    });
  });

  describe(`${name}: the fence`, () => {
    it('lets no commit of a lower epoch through once a higher one has begun', async () => {
      const store = await open();
      const old = store.journal();
      await old.open(1);
      await old.commit(sampleBatch(1, 0, { tasks: [sampleTask({ guid: 'kept' })] }));
      const young = store.journal();
      expect(await young.open(2)).toEqual({ revision: 1 });
      expect(await kindOf(old.commit(sampleBatch(1, 1, { tasks: [sampleTask({ guid: 'late' })] })))).toBe('fenced');
      await young.commit(sampleBatch(2, 1, { domains: [{ domain: 'd', expiresAtMs: 0 }] }));
      expect((await reloaded(store, 3)).tasks.map((row) => row.guid)).toEqual(['kept']);
    });

    it('lets no lower epoch begin', async () => {
      const store = await open();
      const young = store.journal();
      await young.open(5);
      expect(await kindOf(store.journal().open(4))).toBe('fenced');
      await young.commit(sampleBatch(5, 0, {}));
    });

    it('holds between two openings of the same epoch as well', async () => {
      const store = await open();
      const early = store.journal();
      await early.open(1);
      const late = store.journal();
      await late.open(1);
      expect(await kindOf(early.commit(sampleBatch(1, 0, { tasks: [sampleTask()] })))).toBe('fenced');
      await late.commit(sampleBatch(1, 0, {}));
      expect((await reloaded(store, 1)).tasks).toEqual([]);
    });

    it('lets nothing through that was handed over before the same journal was opened again', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      const first = journal.commit(sampleBatch(1, 0, {}));
      const second = journal.commit(sampleBatch(1, 1, { tasks: [sampleTask()] })).catch((error: unknown) => error);
      await first;
      const { revision } = await journal.open(1);
      const outcome = await second;
      if (revision === 1) expect(outcome).toMatchObject({ kind: 'fenced' });
      await journal.commit(sampleBatch(1, revision, {}));
      expect((await reloaded(store, 2)).tasks).toHaveLength(revision - 1);
    });

    it('takes a batch whose answer was lost again, without doing it twice', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      const batch = sampleBatch(1, 0, { tasks: [sampleTask()] });
      await journal.commit(batch);
      await journal.commit(batch);
      await journal.commit(sampleBatch(1, 1, { domains: [{ domain: 'd', expiresAtMs: 0 }] }));
      expect(await kindOf(journal.commit(batch))).toBe('fenced');
      expect((await reloaded(store, 2)).revision).toBe(2);
    });

    it('refuses a batch that builds on another revision', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      await journal.commit(sampleBatch(1, 0, {}));
      expect(await kindOf(journal.commit(sampleBatch(1, 5, { tasks: [sampleTask()] })))).toBe('fenced');
      expect(await kindOf(journal.commit({ ...sampleBatch(1, 0, { tasks: [sampleTask()] }), revision: 9 }))).toBe(
        'fenced',
      );
      expect((await reloaded(store, 2)).tasks).toEqual([]);
    });

    it('lets batches through in the order in which they were handed over', async () => {
      const store = await open();
      const journal = store.journal();
      await journal.open(1);
      await Promise.all(
        Array.from({ length: 20 }, (_, revision) =>
          journal.commit(sampleBatch(1, revision, { tasks: [sampleTask({ rejectionCount: revision })] })),
        ),
      );
      const rows = await reloaded(store, 2);
      expect(rows.revision).toBe(20);
      expect(rows.tasks.map((row) => row.rejectionCount)).toEqual([19]);
    });

    it('has no place for who has not opened', async () => {
      const store = await open();
      const journal = store.journal();
      expect(await kindOf(journal.commit(sampleBatch(0, 0, {})))).toBe('unavailable');
      await journal.open(1);
      await journal.close();
      expect(await kindOf(journal.commit(sampleBatch(1, 0, {})))).toBe('unavailable');
    });
  });
}

function bytes(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, position) => position % 256);
}
