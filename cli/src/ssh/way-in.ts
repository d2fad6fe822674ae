import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { type DesiredLrp, DesiredLrpView } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { RiveraClient } from '@rivera/sdk/client';
import { instanceState } from '../commands/states.js';
import { isAnswer } from '../describe.js';
import { CliError, EXIT, usageError } from '../failures.js';
import { SSH_ROUTE } from '../recipe/lrp-spec.js';
import { oneLine } from '../terminal/text.js';

/** An instance that somebody wants into. */
export interface Wanted {
  readonly processGuid: string;
  readonly index: number;
}

const FORWARDING = /^(?:(?:\[[^\]]*\]|[^:[\]]*):)?\d{1,5}:(?:\[[^\]]+\]|[^:[\]]+):\d{1,5}$/;

/** @throws CliError where an LRP has no such instance */
export async function requireInstance(client: RiveraClient, wanted: Wanted, signal: AbortSignal): Promise<DesiredLrp> {
  const { processGuid, index } = wanted;
  const desired = await client.desiredLrps.get(processGuid, DesiredLrpView.ROUTING, { signal });
  const { instances } = desired;
  if (index < instances) return desired;
  if (instances === 0) {
    throw new CliError(EXIT.answered, `${processGuid} is stopped: it has no instances`, [
      `Start it:  rivera lrp scale ${processGuid} 1`,
    ]);
  }
  const last = instances === 1 ? 'one instance, 0' : `${instances} instances, 0 to ${instances - 1}`;
  throw new CliError(EXIT.answered, `there is no instance ${processGuid}/${index}: ${processGuid} has ${last}`, [
    `See how they are:  rivera lrp show ${processGuid}`,
  ]);
}

/**
 * Whether SSH leads into an instance. A proxy refuses in one voice, whatever the reason; whoever may ask the servers learns it here.
 * @throws CliError that says what stands against it and what helps
 */
export async function requireWayIn(client: RiveraClient, wanted: Wanted, signal: AbortSignal): Promise<void> {
  const { processGuid, index } = wanted;
  const desired = await requireInstance(client, wanted, signal);
  if (Object.keys(SSH_ROUTE).some((route) => !(route in desired.routes))) {
    throw new CliError(EXIT.answered, `${processGuid} does not let SSH in`, [
      'Make it with `rivera lrp run --ssh`, or give it the route diego-ssh.',
      `A shell without SSH:  rivera exec -it ${processGuid}/${index}`,
    ]);
  }
  const rows = await client.actualLrps.get(processGuid, index, { signal }).catch((error: unknown) => {
    if (isAnswer(error) && error.codeName === 'NOT_FOUND') return [];
    throw error;
  });
  if (rows.some(({ cellId }) => cellId !== '')) return;
  const [row] = rows;
  const state = row ? instanceState(row) : 'not there yet';
  const why = row?.state === ActualLrpState.CRASHED ? row.crashReason : row?.placementError;
  throw new CliError(
    EXIT.answered,
    `${processGuid}/${index} does not run: it is ${state}${why ? `, ${oneLine(why)}` : ''}`,
    [`See why:  rivera explain ${processGuid}/${index}`],
  );
}

/** @throws CliError for what OpenSSH would refuse without a word on how it is meant */
export function requireForwarding(flag: string, text: string): void {
  // A path is a socket's; OpenSSH knows several forms of it.
  if (text.includes('/') || FORWARDING.test(text)) return;
  const port = /^\d+$/.test(text) ? text : '8080';
  throw usageError(
    `'-${flag} ${text}' is not [bind:]port:host:port`,
    `For example:  -${flag} ${port}:127.0.0.1:${port}`,
  );
}
