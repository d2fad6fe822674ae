import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { type Logger, silentLogger } from '@rivera/kit/log';
import { auctionConfig } from '@rivera/server/auction/config';
import { bbsConfig } from '@rivera/server/bbs/config';
import type { BbsTerm } from '@rivera/server/bbs/term';
import { SimulatedCell } from './cell.js';
import { Chance } from './chance.js';
import { Client } from './client.js';
import { CONTAINER_MB, Commands } from './commands.js';
import { Coverage } from './coverage.js';
import { SimulatedDatabase } from './database.js';
import { DurableHistory } from './durable-history.js';
import { Host } from './host.js';
import { Machine } from './machine.js';
import { Network } from './network.js';
import { Promises } from './promises.js';
import { SimulatedServer } from './server.js';
import { Transcript } from './transcript.js';
import { VirtualTime } from './virtual-time.js';
import { Watcher } from './watcher.js';

export interface ClusterOptions {
  readonly seed: number;
  /** Each line of the transcript, for those who want to see all. */
  readonly print?: (line: string) => void;
  readonly log?: Logger;
}

const LAST_LINES = 40;
/** At this crash count an instance stays down. */
export const GIVE_UP_AT = 8;

/** The product's numbers with its times made short, all by about the same factor: a history is to see every one of them end. */
const BBS = bbsConfig.parse({
  leaseTtl: '6s',
  presenceTtl: '6s',
  kick: '8s',
  taskRetryBackoff: '1s',
  expirePendingTask: '40s',
  expireCompletedTask: '30s',
  forgetCell: '25s',
  auditInterval: '15s',
  payloadCache: '1MiB',
  changeLogCapacity: 200,
  massLoss: { grace: '6s', minimumCells: 2 },
  massStop: { grace: '3s', minimumInstances: 4 },
  restart: { resetAfter: '30s', minimumBackoff: '4s', maximumBackoff: '16s', giveUpAt: GIVE_UP_AT },
});
const AUCTION = auctionConfig.parse({
  gather: '200ms',
  noCellGrace: '2s',
  answerTimeout: '4s',
  settle: '4s',
  avoidFor: '3s',
  avoidMax: '10s',
});

/** Servers, cells, clients and a watcher around one database, all in one process and one virtual time. */
export class Cluster {
  readonly time = new VirtualTime();
  readonly chance: Chance;
  readonly coverage = new Coverage();
  readonly transcript: Transcript;
  readonly history: DurableHistory;
  readonly database: SimulatedDatabase;
  readonly network: Network;
  readonly servers = new Map<string, SimulatedServer>();
  readonly cells: readonly SimulatedCell[];
  readonly promises: Promises;
  readonly client: Client;
  readonly commands: Commands;
  readonly watcher: Watcher;
  readonly addresses: readonly string[];
  /** The first thing that must not be. */
  violation: string | undefined;
  private readonly log: Logger;
  private lives = 0;
  private lastLeader = '';

  constructor(options: ClusterOptions) {
    const { time } = this;
    const chance = new Chance(options.seed);
    this.chance = chance;
    this.log = options.log ?? silentLogger;
    this.transcript = new Transcript(LAST_LINES, () => time.nowMs, options.print);
    const onViolation = (what: string) => this.broken(what);
    const onLine = (text: string) => this.say(text);
    const { coverage } = this;
    this.history = new DurableHistory({
      coverage,
      onViolation,
      onLine,
      onForgotten: (guid) => this.promises.taskForgotten(guid),
      expireCompletedTaskMs: BBS.expireCompletedTask,
      isRunning: (cellId, guid) => this.cells.find((cell) => cell.cellId === cellId)?.machine.isRunning(guid) === true,
    });
    this.database = new SimulatedDatabase({
      time,
      chance: chance.fork(),
      coverage,
      onDurable: (batch) => this.history.take(batch),
    });
    const onDefect = (error: unknown, where: string) =>
      this.broken(`${where} failed with a defect: ${error instanceof Error ? error.stack : error}`);
    this.network = new Network({ time, chance: chance.fork(), coverage, onDefect });
    this.addresses = ['server-1', 'server-2', 'server-3'].slice(0, chance.between(2, 3));
    this.promises = new Promises(this.database.rows);
    // One history in five has cells that can't hold everything.
    const containers = chance.percent(20) ? 3 : 12;
    this.cells = Array.from({ length: chance.between(2, 3) }, (_, cellIndex) => this.makeCell(cellIndex, containers));
    const { network, database, addresses } = this;
    this.client = new Client({
      host: new Host('client', time),
      network,
      database,
      chance: chance.fork(),
      coverage,
      addresses,
    });
    this.commands = new Commands({
      client: this.client,
      coverage,
      promises: this.promises,
      chance: chance.fork(),
      cellIds: this.cells.map(({ cellId }) => cellId),
      mostInstances: 3,
      onLine,
    });
    const host = new Host('watcher', time);
    this.watcher = new Watcher({ host, network, chance: chance.fork(), coverage, addresses, onViolation });
    for (const address of addresses) this.startServer(address);
    for (const cell of this.cells) cell.start();
  }

  say(text: string): void {
    this.transcript.add(text);
  }

  broken(what: string): void {
    this.say(`VIOLATION: ${what}`);
    this.violation ??= what;
  }

  /** The term of the epoch that the database is in, when its engine still goes on. */
  get term(): BbsTerm | undefined {
    for (const { bbs } of this.servers.values()) {
      const term = bbs.leadingTerm;
      if (term !== undefined && term.engine.epoch === this.database.rows.epoch && !term.engine.signal.aborted)
        return term;
    }
    return undefined;
  }

  /** The server of that term. */
  get leader(): SimulatedServer | undefined {
    const { term } = this;
    return [...this.servers.values()].find(({ bbs }) => bbs.leadingTerm === term && term !== undefined);
  }

  startServer(address: string): void {
    if (this.servers.has(address)) return;
    const { time, network, database, addresses, log } = this;
    const server: SimulatedServer = new SimulatedServer({
      time,
      chance: this.chance.fork(),
      network,
      database,
      address,
      addresses,
      bbs: BBS,
      auction: AUCTION,
      log,
      life: ++this.lives,
      onPlacementFailed: () => this.coverage.note('placement failed'),
      observer: {
        began: (term) => this.began(address, term),
        committed: () => {},
        ticked: () => {},
        audited: ({ mended }) => {
          if (mended > 0) this.say(`${address}: the audit mended ${mended} rows`);
        },
      },
    });
    this.servers.set(address, server);
  }

  /** Tasks that have not ended. */
  get unfinishedTasks(): number {
    return [...this.database.rows.tasks.values()].filter(
      ({ state }) => state === TaskState.PENDING || state === TaskState.RUNNING,
    ).length;
  }

  private began(address: string, term: BbsTerm): void {
    this.say(`${address} leads with epoch ${term.engine.epoch}`);
    if (this.lastLeader !== '' && this.lastLeader !== address) this.coverage.note('leader change');
    if (term.engine.readAhead) this.coverage.note('state read ahead by the next leader');
    this.lastLeader = address;
    term.engine.onDurable((commits) => {
      this.history.published(commits);
      for (const { effects } of commits) {
        for (const effect of effects) if (effect.kind === 'end-session') this.say(`${effect.cellId} is given up`);
      }
    });
  }

  private makeCell(cellIndex: number, containers: number): SimulatedCell {
    const { time, network, addresses, coverage, log, history } = this;
    const chance = this.chance.fork();
    const cellId = `cell-${'abc'[cellIndex]}`;
    const machine = new Machine({
      cellId,
      time,
      chance,
      coverage,
      total: { memoryMb: CONTAINER_MB * containers, diskMb: 1_000, containers: 100 },
      onExecution: (container, at) => {
        coverage.executions++;
        history.executes(container, at);
      },
      onRelease: (container, at) => history.releases(container, at),
    });
    return new SimulatedCell({
      time,
      chance: chance.fork(),
      coverage,
      network,
      machine,
      cellIndex,
      zone: `z${(cellIndex % 2) + 1}`,
      addresses,
      log,
    });
  }
}
