import { setTimeout as sleep } from 'node:timers/promises';
import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import type { RiveraClient } from '@rivera/sdk/client';
import { localError } from '../failures.js';
import type { Child } from './child.js';
import { tailOf } from './log-file.js';

/** Time for a part to become ready. */
const PATIENCE_MS = 90_000;
/** A part that has died so often at its start has a reason that another try does not remove. */
const HOPELESS_DEATHS = 3;
const PROBE_MS = 2_000;

/** Whether the server answers requests, which it does once it has the lease and its state. */
export async function serverReady(client: RiveraClient, signal: AbortSignal): Promise<boolean> {
  for await (const _ of client.domains.list({ pageSize: 1 }, { signal, deadlineMs: PROBE_MS })) break;
  return true;
}

/** Whether the cell has a session that began after `sinceMs`: the record of an earlier one outlives its agent for a while. */
export async function cellReady(
  client: RiveraClient,
  id: string,
  sinceMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const cell = await client.cells.get(id, { signal, deadlineMs: PROBE_MS });
  return cell.state === CellState.PRESENT && (cell.lastSeenAt?.getTime() ?? 0) >= sinceMs;
}

/**
 * Asks until the answer is yes.
 * @throws CliError (local) with the end of the log, when the part keeps dying or time is over
 */
export async function untilReady(child: Child, ready: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    signal.throwIfAborted();
    // An answer that is an error means the same as no answer: not yet.
    if (child.pid !== undefined && (await ready().catch(() => false))) return;
    if (child.deaths >= HOPELESS_DEATHS) throw startFailed(child, 'keeps ending');
    if (performance.now() > deadline) throw startFailed(child, 'is not ready in time');
    await sleep(50, undefined, { signal });
  }
}

function startFailed({ spec, logStart }: Child, what: string): Error {
  const said = [...new Set(tailOf(spec.logFile, 8, logStart))];
  return localError(`${spec.name} ${what}`, [`The end of ${spec.logFile}:`, ...said.map((line) => `  ${line}`)]);
}
