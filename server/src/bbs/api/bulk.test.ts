import { RiveraError } from '@rivera/kit/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { upsertDomain } from '../core/domain.js';
import { EngineBench, Gate, turns } from '../engine/testing.js';
import { type BulkAnswer, bulk } from './bulk.js';

let bench: EngineBench;
beforeEach(async () => {
  bench = await EngineBench.open();
});
afterEach(() => bench.close());

interface Request {
  readonly sequence: number;
}

const requests = (count: number): Request[] => Array.from({ length: count }, (_, i) => ({ sequence: i }));
async function* stream(items: Iterable<Request>): AsyncGenerator<Request> {
  yield* items;
}
const freshen = ({ sequence }: Request) => {
  bench.engine.apply((draft) => upsertDomain(draft, `d${sequence}`, 0));
};
async function all(answers: AsyncIterable<BulkAnswer>): Promise<BulkAnswer[]> {
  const list: BulkAnswer[] = [];
  for await (const answer of answers) list.push(answer);
  return list;
}

describe('a stream of commands', () => {
  it('is answered in order, with refusals in their place', async () => {
    const answers = await all(
      bulk(stream(requests(5)), bench.engine, (request) => {
        if (request.sequence === 2) throw new RiveraError('INVALID_REQUEST', 'not this one');
        freshen(request);
      }),
    );
    expect(answers.map(({ sequence, code, message }) => [sequence, code, message])).toEqual([
      [0, 0, ''],
      [1, 0, ''],
      [2, 3, 'not this one'],
      [3, 0, ''],
      [4, 0, ''],
    ]);
    expect([...bench.database.domains.keys()]).toEqual(['d0', 'd1', 'd3', 'd4']);
  });

  it('shares few transactions', async () => {
    let transactions = 0;
    bench.database.faults = { beforeCommit: () => void transactions++ };
    expect(await all(bulk(stream(requests(1_000)), bench.engine, freshen))).toHaveLength(1_000);
    expect(transactions).toBeLessThan(20);
  });

  it('is answered only once it is durable, refusals included', async () => {
    const happened: string[] = [];
    const gate = new Gate();
    bench.database.faults = { beforeCommit: () => gate.pass(), afterCommit: () => void happened.push('durable') };
    const answered = (async () => {
      const answers = bulk(stream(requests(2)), bench.engine, (request) => {
        if (request.sequence === 1) throw new RiveraError('INVALID_REQUEST', 'rests on the first');
        freshen(request);
      });
      for await (const { sequence } of answers) happened.push(`answer ${sequence}`);
    })();
    await gate.reached;
    await turns();
    gate.open();
    await answered;
    expect(happened).toEqual(['durable', 'answer 0', 'answer 1']);
  });

  it('ends with a defect instead of hiding it', async () => {
    const defective = bulk(stream(requests(2)), bench.engine, () => {
      throw new TypeError('a defect');
    });
    await expect(all(defective)).rejects.toThrow('a defect');
  });

  it('ends with what its client’s stream ended with', async () => {
    const broken = (async function* () {
      yield { sequence: 0 };
      throw new Error('the connection broke');
    })();
    await expect(all(bulk(broken, bench.engine, freshen))).rejects.toThrow('the connection broke');
  });
});

describe('when the engine ends', () => {
  const lost = new RiveraError('NOT_LEADER', 'the lease is lost');

  it('the stream ends with it, with commands under way', async () => {
    const gate = bench.closeGate();
    const answers = all(bulk(stream(requests(20_000)), bench.engine, freshen));
    answers.catch(() => undefined);
    await gate.reached;
    await turns();
    bench.engine.close(lost);
    await expect(answers).rejects.toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
  });

  it('the stream ends with it, also while its client says nothing', async () => {
    const silent = (async function* () {
      yield { sequence: 0 };
      await new Promise(() => {});
    })();
    const answers = bulk(silent, bench.engine, freshen);
    expect((await answers.next()).value).toMatchObject({ sequence: 0, code: 0 });
    const next = answers.next();
    bench.engine.close(lost);
    await expect(next).rejects.toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
  });
});

describe('while the database can’t keep up', () => {
  it('commands wait, and none is refused', async () => {
    const { clock, database, engine } = bench;
    bench.loseDatabase();
    void engine.execute((draft) => upsertDomain(draft, 'earlier', 0));
    await clock.advance(6_000);
    expect(() => freshen({ sequence: 99 })).toThrow('the database has not answered for 6000 ms');
    const answers = all(bulk(stream(requests(5)), engine, freshen));
    await turns();
    database.faults = {};
    await clock.advance(2_000);
    expect((await answers).map(({ code }) => code)).toEqual([0, 0, 0, 0, 0]);
    expect(database.domains.size).toBe(6);
  });

  it('what waits goes with the engine, or with who waits for it', async () => {
    const { clock, engine } = bench;
    bench.loseDatabase();
    engine.execute((draft) => upsertDomain(draft, 'earlier', 0)).catch(() => undefined);
    await clock.advance(6_000);
    const left = bulk(stream(requests(5)), engine, freshen);
    const first = left.next();
    first.catch(() => undefined);
    const answers = all(bulk(stream(requests(5)), engine, freshen));
    answers.catch(() => undefined);
    await turns();
    engine.close(new RiveraError('NOT_LEADER', 'the lease is lost'));
    await expect(answers).rejects.toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
    await expect(first).rejects.toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
    expect(engine.state.domains.size).toBe(1);
  });
});

describe('bounds', () => {
  it('let 10,000 commands be under way; then the client is not read until one is answered', async () => {
    let read = 0;
    const counted = (async function* () {
      for (const request of requests(12_000)) {
        read++;
        yield request;
      }
    })();
    const gate = bench.closeGate();
    const answers = bulk(counted, bench.engine, freshen);
    const first = answers.next();
    await gate.reached;
    await turns(100);
    expect(read).toBe(10_000);
    gate.open();
    await first;
    let count = 1;
    for await (const { code } of answers) count += code === 0 ? 1 : 0;
    expect(count).toBe(12_000);
  });

  it('let nothing be applied any more when nobody hears the answers', async () => {
    let more = () => {};
    const said = new Promise<void>((resolve) => {
      more = resolve;
    });
    let ended = false;
    const client = (async function* () {
      try {
        yield { sequence: 0 };
        await said;
        for (const request of requests(5_000)) yield request;
      } finally {
        ended = true;
      }
    })();
    const applied: number[] = [];
    const answers = bulk(client, bench.engine, (request) => {
      applied.push(request.sequence);
      freshen(request);
    });
    await answers.next();
    await answers.return(undefined);
    more();
    await turns();
    expect(applied).toEqual([0]);
    expect(ended).toBe(true);
  });
});
