import type { RiveraClient } from '@rivera/sdk/client';
import { GaleraCluster } from '@rivera/server/database/galera-testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { overlaps, type Reign, reigns } from '../stack/reign.js';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { webApp } from '../stack/work.js';

const LEASE_TTL_MS = 8_000;
/** A node that dies is put out after 3 s, a leader after its lease; then whoever waited has to find the way again. */
const LONGEST_PAUSE_MS = LEASE_TTL_MS + 17_000;

let cluster: GaleraCluster;
let stack: Stack;
let client: RiveraClient;
let writers: Writers;
const killedAtMs = new Map<string, number[]>();

/** Clients that write without pause, and remember what was acknowledged. */
class Writers {
  readonly domains: string[] = [];
  readonly lrps: string[] = [];
  readonly refusals = new Map<string, number>();
  longestPauseMs = 0;
  private lastMs = Date.now();
  private stopped = false;
  private readonly running: Promise<void>[];

  constructor(private readonly client: RiveraClient) {
    this.running = Array.from({ length: 10 }, (_, i) => this.run(`w${i}`, i < 8));
  }

  get count(): number {
    return this.domains.length + this.lrps.length;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.running);
  }

  private async run(name: string, domains: boolean): Promise<void> {
    for (let i = 0; !this.stopped; i++) {
      const key = `${name}-${i}`;
      try {
        if (domains) await this.client.domains.upsert(key);
        else await this.client.desiredLrps.desire(webApp(key, 1));
        (domains ? this.domains : this.lrps).push(key);
        const nowMs = Date.now();
        this.longestPauseMs = Math.max(this.longestPauseMs, nowMs - this.lastMs);
        this.lastMs = nowMs;
      } catch (error) {
        const code = (error as { codeName?: string }).codeName ?? String(error);
        this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}

beforeAll(async () => {
  cluster = await GaleraCluster.start();
  stack = await Stack.start({
    servers: 2,
    cells: 0,
    databaseUrl: cluster.url(),
    server: { bbs: { leaseTtl: LEASE_TTL_MS } },
  });
  client = await stack.client();
  writers = new Writers(client);
}, 120_000);
afterAll(async () => {
  await writers?.stop();
  await stack?.close();
  await cluster?.close();
}, 90_000);
afterEach(({ task }) => {
  if (task.result?.state === 'fail') console.error(stack.logs());
});

async function writesFlow(): Promise<void> {
  const { count } = writers;
  await until('writes are acknowledged', () => writers.count > count + 100);
}

/** The node that most connections of the servers go to. */
async function nodeInUse(): Promise<(typeof cluster.nodes)[number]> {
  const counts = await Promise.all(
    cluster.nodes.map(async (node) => {
      const rows = await node.administer<unknown[]>(
        "SELECT 1 FROM information_schema.processlist WHERE user = 'rivera'",
      );
      return { node, connections: rows.length };
    }),
  );
  return counts.sort((a, b) => b.connections - a.connections)[0]?.node as (typeof cluster.nodes)[number];
}

function currentLeader() {
  const open = reigns(stack.servers, killedAtMs).find((each) => each.toMs === Number.POSITIVE_INFINITY);
  return stack.servers.find((server) => server.name === open?.server);
}

async function kill(leader: NonNullable<ReturnType<typeof currentLeader>>): Promise<void> {
  killedAtMs.set(leader.name, [...(killedAtMs.get(leader.name) ?? []), Date.now()]);
  await leader.kill();
}

describe('two servers on a Galera cluster of three nodes', () => {
  it('go on writing when nodes are killed, one at a time, and come back', async () => {
    for (let round = 0; round < 2; round += 1) {
      await writesFlow();
      const node = await nodeInUse();
      await node.kill();
      await writesFlow();
      await node.start();
      await cluster.untilWhole();
      // It fetched what it had missed, and not everything anew.
      expect(await node.log()).toContain('IST received');
    }
  });

  it('go on writing while the node in use is frozen, and when it wakes', async () => {
    const node = await nodeInUse();
    node.pause();
    try {
      await writesFlow();
    } finally {
      node.resume();
    }
    await writesFlow();
    await cluster.untilWhole();
  });

  it('hand over when the leader dies together with its node', async () => {
    // A leader whose node woke up a moment ago may have stood down over it; then the next one takes its time.
    const leader = await until('somebody leads', currentLeader);
    const node = await nodeInUse();
    await Promise.all([node.kill(), kill(leader)]);
    await writesFlow();
    await node.start();
    for (const server of stack.servers) if (!server.running) server.start();
    await cluster.untilWhole();
    await writesFlow();
  });

  it('never stood still for long, and were never two', () => {
    expect(writers.longestPauseMs).toBeLessThan(LONGEST_PAUSE_MS);
    const found: Reign[] = reigns(stack.servers, killedAtMs);
    expect(new Set(found.map((each) => each.server)).size).toBe(2);
    expect(overlaps(found)).toEqual([]);
  });

  it('have lost nothing that was acknowledged, on any node', async () => {
    await writers.stop();
    const domains = new Set<string>();
    for await (const { domain } of client.domains.list()) domains.add(domain);
    expect(writers.domains.filter((domain) => !domains.has(domain))).toEqual([]);
    const lrps = new Set<string>();
    for await (const { processGuid } of client.desiredLrps.list()) lrps.add(processGuid);
    expect(writers.lrps.filter((processGuid) => !lrps.has(processGuid))).toEqual([]);

    await Promise.all(stack.servers.map((server) => server.stop()));
    await cluster.untilWhole();
    const tables = await cluster.nodes[0]?.administer<{ name: string }[]>(
      "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'rivera' ORDER BY 1",
    );
    const names = (tables ?? []).map(({ name }) => `rivera.${name}`).join(', ');
    const [first, ...others] = await Promise.all(
      cluster.nodes.map(async (node) => ({
        checksums: await node.administer(`CHECKSUM TABLE ${names}`),
        domains: await node.administer('SELECT COUNT(*) AS n FROM rivera.domains'),
        lrps: await node.administer('SELECT COUNT(*) AS n FROM rivera.desired_lrps'),
      })),
    );
    expect(first?.domains).toEqual([{ n: domains.size }]);
    expect(first?.lrps).toEqual([{ n: lrps.size }]);
    for (const other of others) expect(other).toEqual(first);
    // What could not be written was refused as such, or its outcome was declared unknown.
    const expected = ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'UNKNOWN'];
    expect([...writers.refusals.keys()].filter((code) => !expected.includes(code))).toEqual([]);
    console.info(
      `${writers.count} acknowledged, ${[...writers.refusals.values()].reduce((sum, each) => sum + each, 0)} refused, ` +
        `longest pause ${writers.longestPauseMs} ms`,
    );
  });
});
