import { join } from 'node:path';
import { type Clock, systemClock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import type { Authority } from '@rivera/kit/tls/authority';
import { CellAgent } from './cell-agent.js';
import { type CellConfig, cellConfig } from './config.js';
import { type SimulatedMachine, simulateMachine } from './parts.js';

export interface SimCellsOptions {
  servers: string[];
  /** Each cell gets an identity of its own. */
  authority: Authority;
  /** A folder for all of them. */
  dataDir: string;
  /** Number of the first; default 0. Cells of several processes must not share a number. */
  firstNumber?: number;
  logger: Logger;
  clock?: Clock;
  /** Cells are spread over them in turn; default one. */
  zones?: string[];
  /** What all cells have in common beside that, e.g. `memoryMb`. */
  config?: Partial<Pick<CellConfig, 'memoryMb' | 'diskMb' | 'containers' | 'placementTags' | 'optionalPlacementTags'>>;
}

interface SimCell {
  config: CellConfig;
  simulated: SimulatedMachine;
  agent: CellAgent | undefined;
}

/** Many cells in one process, each a whole agent on a pretended machine; only what is below the garden is not real. */
export class SimCells {
  readonly #options: SimCellsOptions;
  readonly #cells = new Map<string, SimCell>();
  #nextNumber: number;

  constructor(options: SimCellsOptions) {
    this.#options = options;
    this.#nextNumber = options.firstNumber ?? 0;
  }

  /** Cells whose agent runs. */
  get cellIds(): string[] {
    return [...this.#cells].filter(([, cell]) => cell.agent !== undefined).map(([cellId]) => cellId);
  }

  /** Starts so many more; their ids. */
  async add(count: number): Promise<string[]> {
    const cellIds: string[] = [];
    for (let n = 0; n < count; n++) {
      const config = this.#config(this.#nextNumber++);
      const simulated = simulateMachine(config, this.#options.clock ?? systemClock);
      this.#cells.set(config.cellId, { config, simulated, agent: undefined });
      cellIds.push(config.cellId);
    }
    await Promise.all(cellIds.map((cellId) => this.#start(cellId)));
    return cellIds;
  }

  /** The machine is gone, with all that ran on it; nobody is told. */
  async remove(cellId: string): Promise<void> {
    const cell = this.#require(cellId);
    this.#cells.delete(cellId);
    await cell.agent?.close({ stopContainers: false });
  }

  /** The agent ends without a word, as by SIGKILL; the containers stay. */
  async kill(cellId: string): Promise<void> {
    const cell = this.#require(cellId);
    const { agent } = cell;
    cell.agent = undefined;
    await agent?.close({ stopContainers: false });
  }

  /** Kills the agent if it runs and starts another one on the same machine. */
  async restart(cellId: string): Promise<void> {
    await this.kill(cellId);
    await this.#start(cellId);
  }

  /** Whether all agents are known to BBS and auctioneer. */
  get connected(): boolean {
    return [...this.#cells.values()].every(({ agent }) => agent === undefined || agent.connected);
  }

  async close(): Promise<void> {
    const agents = [...this.#cells.values()].map(({ agent }) => agent);
    this.#cells.clear();
    await Promise.all(agents.map((agent) => agent?.close({ stopContainers: false })));
  }

  async #start(cellId: string): Promise<void> {
    const cell = this.#require(cellId);
    const { authority, logger, clock } = this.#options;
    const issued = await authority.issue({ role: 'cell', name: cellId, hosts: ['127.0.0.1'] });
    const agent = new CellAgent(cell.config, {
      logger,
      ...(clock ? { clock } : {}),
      identity: { role: 'cell', name: cellId, caPem: authority.caPem, ...issued },
      simulated: cell.simulated,
    });
    cell.agent = agent;
    await agent.start();
  }

  #config(number: number): CellConfig {
    const { servers, dataDir, zones = ['z1'], config } = this.#options;
    const cellId = `sim-${number}`;
    return cellConfig.parse({
      ...config,
      cellId,
      cellIndex: number,
      zone: zones[number % zones.length],
      servers,
      listen: '127.0.0.1:0',
      dataDir: join(dataDir, cellId),
      backend: 'sim',
      // The agent is given its identity; no files are read.
      tls: { ca: 'given', cert: 'given', key: 'given' },
    });
  }

  #require(cellId: string): SimCell {
    const cell = this.#cells.get(cellId);
    if (!cell) throw new Error(`there is no cell ${cellId}`);
    return cell;
  }
}
