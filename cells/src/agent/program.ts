import type { Logger } from '@rivera/kit/log';
import { CellAgent } from './cell-agent.js';
import type { CellConfig } from './config.js';

/** A cell that runs. */
export interface RunningCell {
  /** host:port that servers reach it at. */
  readonly address: string;
  /** Ends the agent, and the containers where the configuration says so. */
  close(): Promise<void>;
}

/** Runs a cell. @throws Error that says what the machine or the configuration lacks */
export async function runCell(config: CellConfig, log: Logger): Promise<RunningCell> {
  const agent = new CellAgent(config, { logger: log });
  await agent.start();
  return { address: agent.repAddress, close: () => agent.close() };
}
