import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import { type SnapshotRecord, type WatchRequest, WatchResponse } from '@rivera/gen/rivera/bbs/v1/event_service';
import { RiveraError } from '@rivera/kit/errors';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { evacuateCell } from '../core/cell.js';
import { updateDesiredLrp } from '../core/desired-lrp.js';
import { upsertDomain } from '../core/domain.js';
import type { CellRow } from '../core/model.js';
import { completeTask, desireTask, startTask } from '../core/task.js';
import { newLrp, newTask } from '../core/testing.js';
import { EngineBench, turns } from '../engine/testing.js';
import { ChangeLog } from './change-log.js';
import { watch } from './watch.js';

let bench: EngineBench;
let log: ChangeLog;
let stop: AbortController;

/** @param capacity of the log of changes */
async function begin(capacity = 10_000): Promise<void> {
  bench = await EngineBench.open();
  log = new ChangeLog(bench.engine.durableRevision, capacity);
  bench.engine.onDurable((commits) => log.append(commits));
  stop = new AbortController();
}
beforeEach(() => begin());
afterEach(() => {
  stop.abort();
  bench.close();
});

const EVERYTHING: WatchRequest = {
  snapshot: false,
  resumeToken: '',
  kinds: [],
  domains: [],
  processGuids: [],
  cellIds: [],
  taskGuids: [],
};

const cellRecord = (row: CellRow): SnapshotRecord['record'] => ({
  $case: 'cell',
  value: { presence: row.presence, state: row.evacuating ? CellState.EVACUATING : CellState.PRESENT } as never,
});

/** A watcher that reads when it is told to. */
function open(request: Partial<WatchRequest> = {}) {
  const source = { engine: bench.engine, log, cellRecord };
  const responses = watch(source, { ...EVERYTHING, ...request }, stop.signal);
  return {
    responses,
    next: async (): Promise<WatchResponse> => {
      const { done, value } = await responses.next();
      if (done || value === undefined) throw new Error('the watch has ended');
      return value;
    },
  };
}

/** What a client makes of a watch: the LRPs that there are, with the index of their latest change. */
class Replica {
  readonly lrps = new Map<string, number>();
  token = '';
  complete = false;
  revision = 0;

  take(response: WatchResponse): void {
    for (const { record } of response.snapshotRecords) {
      if (record?.$case === 'desiredLrp') {
        this.lrps.set(record.value.processGuid, record.value.modificationTag?.index ?? -1);
      }
    }
    for (const { event, revision } of response.events) {
      expect(revision).toBeGreaterThanOrEqual(this.revision);
      this.revision = revision;
      const lrp =
        event?.$case === 'desiredLrpCreated'
          ? event.value.desiredLrp
          : event?.$case === 'desiredLrpChanged'
            ? event.value.after
            : undefined;
      if (lrp) this.lrps.set(lrp.processGuid, lrp.modificationTag?.index ?? -1);
    }
    if (response.resumeToken !== '') this.token = response.resumeToken;
    this.complete ||= response.snapshotComplete;
  }
}

const truth = () => new Map([...bench.engine.state.desiredLrps].map(([guid, row]) => [guid, row.tagIndex]));
const touch = (guid: string) => bench.engine.execute((draft) => updateDesiredLrp(draft, guid, { annotation: 'new' }));

describe('a snapshot', () => {
  it('and what follows are the truth, without a gap, whatever changes while it is read', async () => {
    for (let i = 0; i < 700; i++) bench.engine.apply((draft) => draft.putDesiredLrp({ ...rowOf(`p${i}`) }));
    const watcher = open({ snapshot: true, kinds: [EventKind.DESIRED_LRP] });
    const replica = new Replica();
    let writes = 0;
    while (!replica.complete) {
      replica.take(await watcher.next());
      await touch(`p${writes++}`);
      await bench.lrp(`new-${writes}`, 0);
    }
    expect(writes).toBeGreaterThan(3);
    while (replica.revision < bench.engine.durableRevision) replica.take(await watcher.next());
    expect(replica.lrps).toEqual(truth());
  });

  it('loses nothing that becomes durable together with what it shows', async () => {
    const gate = bench.closeGate();
    bench.engine.apply((draft) => upsertDomain(draft, 'under way', 0));
    await gate.reached;
    void bench.lrp('p', 0);
    const watcher = open({ snapshot: true });
    const replica = new Replica();
    const first = watcher.next();
    void touch('p');
    gate.open();
    replica.take(await first);
    while (!replica.complete) replica.take(await watcher.next());
    expect(replica.lrps).toEqual(new Map([['p', 0]]));
    replica.take(await watcher.next());
    expect(replica.lrps).toEqual(truth());
  });

  it('shows only what is durable', async () => {
    const gate = bench.closeGate();
    const happened: string[] = [];
    bench.database.faults.afterCommit = () => void happened.push('durable');
    bench.engine.apply((draft) => desireTask(draft, newTask('t')));
    const first = open({ snapshot: true })
      .next()
      .then(({ snapshotRecords }) => happened.push(`${snapshotRecords.length} record`));
    await gate.reached;
    await turns();
    gate.open();
    await first;
    expect(happened).toEqual(['durable', '1 record']);
  });

  it('shows a cell as it was, also when it has changed while the snapshot became durable', async () => {
    await bench.cell('c');
    const gate = bench.closeGate();
    bench.engine.apply((draft) => upsertDomain(draft, 'under way', 0));
    await gate.reached;
    const watcher = open({ snapshot: true });
    const first = watcher.next();
    bench.engine.apply((draft) => evacuateCell(draft, 'c'));
    gate.open();
    expect((await first).snapshotRecords).toMatchObject([{ record: { value: { state: CellState.PRESENT } } }]);
    expect(await watcher.next()).toMatchObject({ snapshotComplete: true });
    expect((await watcher.next()).events).toMatchObject([{ event: { $case: 'cellChanged' } }]);
  });

  it('can not be resumed from before it is complete', async () => {
    await Promise.all(Array.from({ length: 300 }, (_, i) => bench.lrp(`p${i}`, 0)));
    const watcher = open({ snapshot: true });
    const tokens: [boolean, string][] = [];
    for (let i = 0; i < 3; i++) {
      const { snapshotComplete, resumeToken } = await watcher.next();
      tokens.push([snapshotComplete, resumeToken]);
    }
    expect(tokens).toEqual([
      [false, ''],
      [false, ''],
      [true, 'r1.300'],
    ]);
  });

  it('that is cut short by the end of the term never says that it is complete', async () => {
    await Promise.all(Array.from({ length: 500 }, (_, i) => bench.lrp(`p${i}`, 0)));
    for (const parts of [1, 2, 3]) {
      stop = new AbortController();
      const seen: WatchResponse[] = [];
      for await (const response of open({ snapshot: true }).responses) {
        seen.push(response);
        if (seen.length === parts) stop.abort();
      }
      expect(seen).toHaveLength(parts);
      expect(seen.some(({ snapshotComplete }) => snapshotComplete)).toBe(false);
    }
  });

  it('of nothing is complete at once', async () => {
    expect(await open({ snapshot: true }).next()).toMatchObject({ snapshotComplete: true, resumeToken: 'r1.0' });
  });
});

describe('tokens', () => {
  it('never claim a revision of which a part has not been sent', async () => {
    // One command that changes 601 rows: more than one response reads.
    const watcher = open();
    const begun = await watcher.next();
    await bench.lrp('p', 600);
    const first = await watcher.next();
    expect(first.events.length).toBeLessThan(601);
    expect(first.resumeToken).toBe(begun.resumeToken);
    const rest = await watcher.next();
    expect(first.events.length + rest.events.length).toBe(601);
    expect(rest.resumeToken).toBe('r1.1');
    // Whoever resumes with the first token gets the whole revision, in part for a second time.
    const resumed = open({ resumeToken: first.resumeToken });
    await resumed.next();
    const again = [...(await resumed.next()).events, ...(await resumed.next()).events];
    expect(again).toEqual([...first.events, ...rest.events]);
  });

  it('resume behind what was seen, with nothing twice and nothing missing', async () => {
    const tokens: string[] = [(await open().next()).resumeToken];
    const watcher = open();
    await watcher.next();
    for (let i = 0; i < 5; i++) {
      await bench.lrp(`p${i}`, 0);
      tokens.push((await watcher.next()).resumeToken);
    }
    for (const [seen, resumeToken] of tokens.entries()) {
      const resumed = open({ resumeToken });
      expect((await resumed.next()).resumeToken).toBe(resumeToken);
      await touch('p0');
      const { events } = await resumed.next();
      const created = events.flatMap(({ event }) =>
        event?.$case === 'desiredLrpCreated' ? [event.value.desiredLrp?.processGuid] : [],
      );
      expect(created).toEqual(['p0', 'p1', 'p2', 'p3', 'p4'].slice(seen));
    }
  });

  it('that were not made here are refused, and those of a future or a forgotten past lead to a snapshot', async () => {
    const refused = async (resumeToken: string) => open({ resumeToken }).next();
    for (const token of ['x', 'r1.', 'r1.-1', 'r1.1e3', 'r2.1', 'r1.99999999999999999']) {
      await expect(refused(token)).rejects.toMatchObject({
        reason: 'INVALID_REQUEST',
        violations: [{ field: 'resume_token' }],
      });
    }
    await expect(refused('r1.1')).rejects.toMatchObject({ reason: 'RESUME_TOKEN_TOO_OLD' });
  });

  it('of the leader before are good at the next one for who had seen everything', async () => {
    await bench.lrp('p', 0);
    const { resumeToken } = await open().next();
    bench.close();
    bench = await EngineBench.open({ database: bench.database, epoch: 2 });
    log = new ChangeLog(bench.engine.durableRevision, 100);
    bench.engine.onDurable((commits) => log.append(commits));
    const resumed = open({ resumeToken });
    await resumed.next();
    await touch('p');
    expect((await resumed.next()).events).toHaveLength(1);
  });
});

describe('a watcher that does not keep up', () => {
  it('is cut off when what it has not read is gone', async () => {
    await begin(10);
    const watcher = open();
    await watcher.next();
    for (let i = 0; i < 30; i++) await bench.lrp(`p${i}`, 0);
    await expect(watcher.next()).rejects.toMatchObject({ reason: 'WATCHER_TOO_SLOW' });
  });

  it('can not resume from there, and does not slow down the others', async () => {
    await begin(10);
    const slow = open();
    const { resumeToken } = await slow.next();
    const quick = open();
    await quick.next();
    for (let i = 0; i < 30; i++) {
      await bench.lrp(`p${i}`, 0);
      expect((await quick.next()).events).toHaveLength(1);
    }
    await expect(open({ resumeToken }).next()).rejects.toMatchObject({ reason: 'RESUME_TOKEN_TOO_OLD' });
  });
});

describe('large records', () => {
  const result = 'é'.repeat(25_000);
  const RESPONSE_BYTES = 2 * 1024 * 1024;

  beforeEach(async () => {
    for (let i = 0; i < 150; i++) {
      bench.engine.apply((draft) => {
        desireTask(draft, newTask(`t${i}`));
        startTask(draft, `t${i}`, 'c1', 'e');
      });
    }
    await bench.engine.durable();
  });
  const completeAll = async () => {
    const outcome = { failed: false, failureReason: '', result };
    for (let i = 0; i < 150; i++) {
      bench.engine.apply((draft) => completeTask(draft, `t${i}`, { cellId: 'c1', executionGuid: 'e' }, outcome));
    }
    await bench.engine.durable();
  };

  it('come in parts of a bounded size, in a snapshot', async () => {
    await completeAll();
    const watcher = open({ snapshot: true });
    let records = 0;
    for (let response = await watcher.next(); !response.snapshotComplete; response = await watcher.next()) {
      expect(WatchResponse.encode(response).finish().length).toBeLessThan(RESPONSE_BYTES);
      records += response.snapshotRecords.length;
    }
    expect(records).toBe(150);
  });

  it('come in parts of a bounded size, as events', async () => {
    const watcher = open();
    await watcher.next();
    await completeAll();
    const seen: string[] = [];
    while (seen.length < 150) {
      const response = await watcher.next();
      expect(WatchResponse.encode(response).finish().length).toBeLessThan(RESPONSE_BYTES);
      for (const { event } of response.events) {
        if (event?.$case === 'taskChanged') seen.push(event.value.after?.taskGuid ?? '');
      }
    }
    expect(seen).toEqual(Array.from({ length: 150 }, (_, i) => `t${i}`));
  });
});

describe('a watcher that sees little', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('hears every ten seconds when nothing happens', async () => {
    const watcher = open();
    await watcher.next();
    let heard = 0;
    const listening = (async () => {
      for await (const { events } of watcher.responses) heard += events.length === 0 ? 1 : 100;
    })();
    for (const beats of [1, 2, 3]) {
      await turns();
      vi.advanceTimersByTime(9_999);
      await turns();
      expect(heard).toBe(beats - 1);
      vi.advanceTimersByTime(1);
      await turns();
      expect(heard).toBe(beats);
    }
    stop.abort();
    await listening;
  });

  it('hears as often when only others’ things happen, with a token that it can resume with', async () => {
    vi.useRealTimers();
    await begin(100);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const watcher = open({ processGuids: ['mine'] });
    await watcher.next();
    const heard = watcher.next();
    // Ten times more than the log holds.
    for (let i = 0; i < 1_000; i++) {
      await bench.engine.execute((draft) => upsertDomain(draft, 'other', i + 1));
      vi.advanceTimersByTime(10);
    }
    await turns();
    const { events, resumeToken } = await heard;
    expect(events).toEqual([]);
    const resumed = open({ processGuids: ['mine'], resumeToken });
    await resumed.next();
    await bench.lrp('mine', 0);
    expect((await resumed.next()).events).toHaveLength(1);
  });

  it('hears as often when so much happens that it never catches up', async () => {
    vi.useRealTimers();
    await begin(1_000_000);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const watcher = open({ processGuids: ['mine'] });
    await watcher.next();
    let heardAt: number | undefined;
    const heard = watcher.next().then(({ revision }) => {
      heardAt = revision;
    });
    let ms = 0;
    for (let count = 0; heardAt === undefined && ms < 60_000; ms += 500) {
      // More in each turn than one read takes.
      for (let i = 0; i < 1_000; i++) bench.engine.apply((draft) => upsertDomain(draft, 'other', ++count));
      await turns(1);
      vi.advanceTimersByTime(500);
    }
    expect(ms).toBeLessThan(12_000);
    await heard;
    expect(heardAt).toBeLessThan(log.lastRevision);
  });
});

describe('the end', () => {
  it('comes with the signal, while the watcher waits and while it reads', async () => {
    const waiting = open();
    await waiting.next();
    const end = waiting.responses.next();
    stop.abort();
    expect(await end).toMatchObject({ done: true });
  });

  it('of the engine is told to who asks for a snapshot', async () => {
    bench.engine.close(new RiveraError('NOT_LEADER', 'the lease is lost'));
    await expect(open({ snapshot: true }).next()).rejects.toMatchObject({ reason: 'NOT_LEADER' });
  });
});

function rowOf(processGuid: string) {
  const { runInfo: _runInfo, ...row } = newLrp(processGuid, 0);
  return { ...row, tagEpoch: 'e', tagIndex: 0, createdAtMs: 0 };
}
