import { setTimeout as sleep } from 'node:timers/promises';
import { type ActualLrp, ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { RiveraClient } from '@rivera/sdk/client';
import type { MovableInstance } from '@rivera/server/auction/rebalance/plan';
import { troubleOf } from '../commands/states.js';
import { isAnswer } from '../describe.js';

/** What became of one move. */
export type Moved =
  | { readonly kind: 'moved'; readonly to: string }
  /** Nothing was begun, or the instance stayed: why. */
  | { readonly kind: 'left'; readonly why: string }
  /** Time is over; the instance goes on, and so does the move. */
  | { readonly kind: 'late'; readonly why: string };

const POLL_MS = 250;

/**
 * Moves one instance, and waits until its replacement runs and it is gone itself. Whoever stops waiting stops nothing: the old
 * instance is stopped by the servers, and by nobody else, once the new one runs.
 */
export async function moveInstance(
  client: RiveraClient,
  { processGuid, index, instanceGuid }: MovableInstance,
  { signal, late }: { signal: AbortSignal; late: AbortSignal },
): Promise<Moved> {
  try {
    await client.actualLrps.move(processGuid, index, instanceGuid, { signal });
  } catch (error) {
    // It may have gone, crashed or begun to move since the plan was made: the next one is none the worse for it.
    if (!isAnswer(error) || !['NOT_FOUND', 'FAILED_PRECONDITION'].includes(error.codeName)) throw error;
    return { kind: 'left', why: error.message };
  }
  let why = '';
  while (!late.aborted) {
    const records = await recordsOf(client, processGuid, index, signal);
    const ordinary = records.find(({ presence }) => presence === ActualLrpPresence.ORDINARY);
    if (ordinary === undefined) return { kind: 'left', why: 'its LRP does not want it any more' };
    if (ordinary.instanceGuid === instanceGuid) return { kind: 'left', why: 'its cell started anew and kept it' };
    const alone = records.length === 1;
    if (alone && ordinary.state === ActualLrpState.RUNNING) return { kind: 'moved', to: ordinary.cellId };
    why = troubleOf(ordinary) || 'its replacement does not run yet';
    await sleep(POLL_MS, undefined, { signal: AbortSignal.any([signal, late]) }).catch((error) => {
      if (signal.aborted) throw error;
    });
  }
  return { kind: 'late', why };
}

/** None when the slot is not wanted any more. */
async function recordsOf(
  client: RiveraClient,
  processGuid: string,
  index: number,
  signal: AbortSignal,
): Promise<ActualLrp[]> {
  try {
    return await client.actualLrps.get(processGuid, index, { signal });
  } catch (error) {
    if (isAnswer(error) && error.codeName === 'NOT_FOUND') return [];
    throw error;
  }
}
