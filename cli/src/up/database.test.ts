import { afterEach, describe, expect, it } from 'vitest';
import { type DatabaseEvent, type DatabaseServer, KeptDatabase } from './database.js';

const POLICY = { firstMs: 1, longestMs: 4, healthyAfterMs: 60_000 };

/** A server that runs until it is told to be dead. */
class FakeDatabase implements DatabaseServer {
  readonly url = 'mysql://fake';
  running = true;
  stops = 0;
  constructor(readonly pid: number) {}
  isRunning(): boolean {
    return this.running;
  }
  async stop(): Promise<void> {
    this.running = false;
    this.stops++;
  }
}

let kept: KeptDatabase | undefined;
afterEach(() => kept?.stop());

async function open(failures = 0) {
  const servers: FakeDatabase[] = [];
  const events: DatabaseEvent[] = [];
  let failuresLeft = failures;
  let revived: () => void = () => {};
  const revival = new Promise<void>((resolve) => {
    revived = resolve;
  });
  kept = await KeptDatabase.open(
    async () => {
      if (servers.length > 0 && failuresLeft-- > 0) throw new Error('disk full');
      const server = new FakeDatabase(servers.length + 1);
      servers.push(server);
      return server;
    },
    (event) => {
      events.push(event);
      if (event.kind === 'started') revived();
    },
    POLICY,
  );
  return { kept, servers, events, revival };
}

describe('a database that is kept up', () => {
  it('is started again when it dies, after the dead one has let go of the data', async () => {
    const { kept, servers, events, revival } = await open();
    expect(kept.pid).toBe(1);
    (servers[0] as FakeDatabase).running = false;
    await revival;
    expect(kept.pid).toBe(2);
    expect(servers[0]?.stops).toBe(1);
    expect(events).toEqual([
      { kind: 'died', restartInMs: 1 },
      { kind: 'started', pid: 2 },
    ]);
  });

  it('is tried again, ever more slowly, while it can not be started', async () => {
    const { servers, events, revival } = await open(3);
    (servers[0] as FakeDatabase).running = false;
    await revival;
    expect(events.filter((event) => event.kind === 'failed')).toHaveLength(3);
    expect(events.flatMap((event) => (event.kind === 'died' ? [event.restartInMs] : []))).toEqual([1, 2, 4, 4]);
  });

  it('is stopped once, and stays so', async () => {
    const { kept, servers, events } = await open();
    await kept.stop();
    expect(servers.map((server) => server.stops)).toEqual([1]);
    expect(events).toEqual([]);
  });

  it('that does not start at all is the caller’s failure', async () => {
    const start = () => Promise.reject(new Error('no such program'));
    await expect(KeptDatabase.open(start, () => undefined, POLICY)).rejects.toThrow('no such program');
  });
});
