import type { Cluster } from './cluster.js';

/** Each fault begins by itself; those that last end after a while, or with the healing. */
export type FaultKind =
  | 'break a stream'
  | 'half-open stream'
  | 'lossy clients'
  | 'slow network'
  | 'crash an agent'
  | 'crash a machine'
  | 'replace a machine'
  | 'freeze an agent'
  | 'cut a cell off'
  | 'crash a server'
  | 'stop a server'
  | 'pause the leader'
  | 'cut a server off the database'
  | 'failing commits'
  | 'slow commits'
  | 'database away'
  | 'clock leap';

/** What a cell that was silent for longer has lost, with room for the converger's tick. */
const PRESENCE_TTL_MS = 6_000;
const LONGEST_LEAP_MS = 40_000;

/** Brings faults about, and takes them back. */
export class Faults {
  /** What ends each lasting fault. */
  private readonly ongoing = new Map<string, () => void>();
  /** Until when due times may be later than rows say: the database was away, a clock leapt. */
  private unsettledUntilMs = 0;

  constructor(private readonly cluster: Cluster) {}

  /** Whether whatever is due has had its time to be looked at, on a clock that did not move by itself. */
  get settled(): boolean {
    return this.ongoing.size === 0 && this.cluster.time.nowMs >= this.unsettledUntilMs;
  }

  begin(kind: FaultKind): void {
    const { cluster } = this;
    const { chance, coverage, network, database, client } = cluster;
    switch (kind) {
      case 'break a stream': {
        const streams = network.openStreams;
        if (streams.length === 0) return;
        coverage.note('stream broken');
        const noticeMs = chance.between(1, 100);
        const stream = chance.pick(streams);
        cluster.say(`the stream of ${stream.client.name} to ${stream.server.name} breaks`);
        return network.breakStream(stream, { clientMs: noticeMs, serverMs: noticeMs });
      }
      case 'half-open stream': {
        const streams = network.openStreams;
        if (streams.length === 0) return;
        coverage.note('half-open stream');
        const [clientMs, serverMs] = chance.percent(50) ? [10, 12_000] : [12_000, 10];
        const stream = chance.pick(streams);
        cluster.say(`the stream of ${stream.client.name} to ${stream.server.name} is half open`);
        return network.breakStream(stream, { clientMs, serverMs });
      }
      case 'lossy clients':
        client.lossPercent = chance.between(10, 50);
        return this.last('clients lose requests and answers', 10_000, () => {
          client.lossPercent = 0;
        });
      case 'slow network':
        network.delayedPercent = chance.between(10, 40);
        return this.last('the network is slow', 8_000, () => {
          network.delayedPercent = 2;
        });
      case 'crash an agent':
      case 'crash a machine':
      case 'replace a machine':
      case 'freeze an agent':
      case 'cut a cell off':
        return this.ofCell(kind);
      case 'crash a server':
      case 'stop a server':
      case 'pause the leader':
      case 'cut a server off the database':
        return this.ofServer(kind);
      case 'failing commits':
        database.faults.beforePercent = chance.between(0, 40);
        database.faults.afterPercent = chance.between(0, 40);
        return this.last('commits fail', 8_000, () => {
          database.faults.beforePercent = 0;
          database.faults.afterPercent = 0;
        });
      case 'slow commits':
        database.faults.slowPercent = chance.between(10, 60);
        return this.last('commits are slow', 10_000, () => {
          database.faults.slowPercent = 0;
        });
      case 'database away':
        database.away = true;
        coverage.note('database away');
        return this.last('the database is away', 10_000, () => {
          database.away = false;
        });
      case 'clock leap': {
        if (cluster.servers.size === 0) return;
        const server = chance.pick([...cluster.servers.values()]);
        const leapMs = chance.between(1, LONGEST_LEAP_MS) * (chance.percent(50) ? 1 : -1);
        coverage.note(leapMs > 0 ? 'clock leapt ahead' : 'clock set back');
        server.host.skewMs += leapMs;
        return this.last(`the clock of ${server.address} leaps by ${leapMs} ms`, 30_000, () => {
          server.host.skewMs = 0;
        });
      }
    }
  }

  /** Ends all that lasts, and starts servers that are down. */
  endAll(): void {
    const { cluster } = this;
    for (const end of [...this.ongoing.values()]) end();
    this.ongoing.clear();
    for (const { machine } of cluster.cells) machine.calm = true;
    for (const address of cluster.addresses) cluster.startServer(address);
  }

  private ofCell(
    kind: 'crash an agent' | 'crash a machine' | 'replace a machine' | 'freeze an agent' | 'cut a cell off',
  ) {
    const { cluster } = this;
    const { chance, coverage, network, commands } = cluster;
    const cell = chance.pick(cluster.cells);
    const { agent, cellId, machine } = cell;
    if (agent === undefined || this.ongoing.has(cellId)) return;
    const longMs = chance.percent(40) ? 3 * PRESENCE_TTL_MS : PRESENCE_TTL_MS / 2;
    const awayFor = () => {
      if (chance.percent(30) && commands.removeSomeLrp()) coverage.note('LRP removed while its cell is away');
    };
    switch (kind) {
      case 'crash an agent':
      case 'crash a machine':
      case 'replace a machine': {
        cell.killAgent(kind === 'crash an agent' || chance.percent(30));
        if (kind === 'crash a machine') machine.crash();
        if (kind === 'replace a machine') machine.replace();
        coverage.note(
          kind === 'crash an agent'
            ? 'agent crashed'
            : kind === 'crash a machine'
              ? 'machine crashed'
              : 'machine replaced',
        );
        awayFor();
        return this.last(`${cellId}: ${kind}`, longMs, () => cell.start(), cellId);
      }
      case 'freeze an agent':
        agent.host.pause();
        coverage.note('agent frozen');
        awayFor();
        return this.last(`${cellId} freezes`, longMs, () => agent.host.resume(chance.percent(50)), cellId);
      case 'cut a cell off': {
        network.isolate(agent.host);
        coverage.note('cell cut off');
        awayFor();
        const before = cluster.time.nowMs;
        return this.last(
          `${cellId} is cut off`,
          longMs,
          () => {
            network.rejoin(cellId);
            const wasLost = cluster.database.rows.cells.get(cellId)?.missing === true;
            if (wasLost && cluster.time.nowMs - before > PRESENCE_TTL_MS)
              coverage.note('cell back after its time to live');
          },
          cellId,
        );
      }
    }
  }

  private ofServer(
    kind: 'crash a server' | 'stop a server' | 'pause the leader' | 'cut a server off the database',
  ): void {
    const { cluster } = this;
    const { chance, coverage, network, database, servers } = cluster;
    if (servers.size === 0) return;
    // Mostly the leader: a fault of a server that stands by shows nothing.
    const server = (chance.percent(75) ? cluster.leader : undefined) ?? chance.pick([...servers.values()]);
    const { address, host } = server;
    if (this.ongoing.has(address)) return;
    switch (kind) {
      case 'crash a server':
        servers.delete(address);
        host.kill();
        network.hostDied(host, chance.percent(60));
        coverage.note('server crashed');
        return this.last(`${address} crashes`, 8_000, () => cluster.startServer(address), address);
      case 'stop a server':
        servers.delete(address);
        coverage.note('server stopped in order');
        void server.stop();
        return this.last(`${address} is stopped`, 8_000, () => cluster.startServer(address), address);
      case 'pause the leader': {
        host.pause();
        coverage.note('leader paused');
        // Keepalive of the others finds out, if it sleeps for long.
        const sleepMs = chance.between(500, 15_000);
        if (sleepMs > 8_000) {
          for (const stream of network.streamsOf(host))
            network.breakStream(stream, { clientMs: 8_000, serverMs: 8_000 });
        }
        return this.last(`${address} sleeps`, sleepMs, () => host.resume(chance.percent(50)), address, true);
      }
      case 'cut a server off the database':
        database.cutOff.add(address);
        coverage.note('server cut off from the database');
        return this.last(`${address} can't reach the database`, 12_000, () => database.cutOff.delete(address), address);
    }
  }

  /** A fault that is there for a while; one at a time of each name. */
  private last(what: string, longestMs: number, end: () => void, name = what, exactly = false): void {
    const { cluster } = this;
    const forMs = exactly ? longestMs : cluster.chance.between(200, longestMs);
    cluster.say(`${what}, for ${forMs} ms`);
    this.ongoing.get(name)?.();
    let over = false;
    const finish = () => {
      if (over) return;
      over = true;
      this.ongoing.delete(name);
      this.unsettledUntilMs = cluster.time.nowMs + SETTLING_MS;
      cluster.say(`over: ${what}`);
      end();
    };
    this.ongoing.set(name, finish);
    cluster.time.after(forMs, finish);
  }
}

/** After this whatever fell due during a fault has been looked at. */
const SETTLING_MS = 60_000;
