import { type ConnectionOptions, createConnection, type RowDataPacket } from 'mysql2/promise';
import type { DatabaseHost } from './hosts.js';

/** Pause between two looks. */
const LOOK_EVERY_MS = 1_000;
/** Too many connections: busy, and well. */
const TOO_MANY_CONNECTIONS: ReadonlySet<unknown> = new Set([1040, 1203]);

export interface HostWatchOptions {
  /** Credentials and database. */
  readonly target: ConnectionOptions;
  readonly current: () => DatabaseHost;
  /** False where nobody would notice a failure. */
  readonly inUse: () => boolean;
  /** How long a server may take to answer. */
  readonly patienceMs: number;
  readonly onFailed: (host: DatabaseHost) => void;
}

/**
 * Looks once a second whether the host in use answers, and takes part in its cluster. A server that was paused or cut off says nothing
 * at all, and the connections to it would wait for as long as a statement may take.
 */
export class HostWatch {
  private readonly timer: NodeJS.Timeout;
  private looking = false;

  constructor(private readonly options: HostWatchOptions) {
    this.timer = setInterval(() => void this.look(), LOOK_EVERY_MS).unref();
  }

  close(): void {
    clearInterval(this.timer);
  }

  private async look(): Promise<void> {
    if (this.looking || !this.options.inUse()) return;
    this.looking = true;
    const host = this.options.current();
    try {
      if (!(await this.isWell(host))) this.options.onFailed(host);
    } finally {
      this.looking = false;
    }
  }

  private async isWell(host: DatabaseHost): Promise<boolean> {
    const { target, patienceMs } = this.options;
    try {
      const connection = await createConnection({ ...target, ...host, connectTimeout: patienceMs });
      // What goes wrong while it is thrown away is of no interest.
      connection.on('error', () => undefined);
      try {
        const [rows] = await connection.query<RowDataPacket[]>({ sql: CLUSTER_STATE, timeout: patienceMs });
        return takesPart(rows);
      } finally {
        connection.destroy();
      }
    } catch (error) {
      return error instanceof Error && 'errno' in error && TOO_MANY_CONNECTIONS.has(error.errno);
    }
  }
}

/** Answered by a node of Galera even where it refuses everything else; by other servers with nothing, or without a provider. */
export const CLUSTER_STATE = "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_provider_name', 'wsrep_ready')";

/** False for a node that has lost the majority, or is not ready yet. True for a server that is no part of a cluster. */
export function takesPart(rows: readonly object[]): boolean {
  const state = new Map<unknown, unknown>();
  for (const row of rows) if ('Variable_name' in row && 'Value' in row) state.set(row.Variable_name, row.Value);
  const clustered = (state.get('wsrep_provider_name') ?? '') !== '';
  return !clustered || state.get('wsrep_ready') === 'ON';
}
