import { ActualLrp, ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import type { RiveraClient, WatchItem } from '@rivera/sdk/client';
import { CliError, EXIT } from '../failures.js';
import type { Session } from '../session.js';
import { Progress } from '../terminal/progress.js';
import { lateAfter, type Waiting } from './waiting.js';

/** Time for one replacement to come up. */
const REPLACEMENT_MS = 120_000;

/**
 * Retires instances one after the other, each when the replacement of the one before runs, so that the others serve meanwhile.
 * Without waiting, all at once.
 */
export async function restart(session: Session, name: string, options: Waiting & { index?: number }): Promise<void> {
  const client = await session.client();
  const instances = await ordinaryInstances(client, name, options.index, session.signal);
  const progress = new Progress(session.out);
  try {
    for (const [done, lrp] of instances.entries()) {
      const index = lrp.key?.index ?? 0;
      await client.actualLrps.retire(name, index, { instanceGuid: lrp.instanceGuid, signal: session.signal });
      if (!options.wait) continue;
      progress.show(`${name}: replacing #${index} (${done + 1} of ${instances.length})`);
      const replacement = await untilReplaced(session, client, lrp, options.waitTimeout ?? REPLACEMENT_MS);
      if (session.out.json) await session.out.line(ActualLrp.toJSON(replacement));
    }
  } finally {
    progress.done();
  }
  if (!session.out.json && options.wait) await session.out.note(`${name}: ${instances.length} replaced\n`);
}

/** The records that have a container, and so something to replace. */
async function ordinaryInstances(
  client: RiveraClient,
  name: string,
  index: number | undefined,
  signal: AbortSignal,
): Promise<ActualLrp[]> {
  if (index === undefined) await client.desiredLrps.get(name, undefined, { signal });
  const found: ActualLrp[] = [];
  const filter = { processGuids: [name], ...(index === undefined ? {} : { index }) };
  for await (const lrp of client.actualLrps.list(filter, { signal })) {
    if (lrp.presence === ActualLrpPresence.ORDINARY && lrp.instanceGuid !== '') found.push(lrp);
  }
  if (index !== undefined && found.length === 0) {
    await client.actualLrps.get(name, index, { signal });
    throw new CliError(EXIT.failed, `${name}/${index} has no container that could be replaced`, [
      `See its state:  rivera lrp show ${name}`,
    ]);
  }
  return found;
}

/** Waits until another container runs in the slot. */
async function untilReplaced(
  session: Session,
  client: RiveraClient,
  old: ActualLrp,
  timeoutMs: number,
): Promise<ActualLrp> {
  const name = old.key?.processGuid ?? '';
  const index = old.key?.index ?? 0;
  const timeout = lateAfter(timeoutMs);
  const signal = AbortSignal.any([session.signal, timeout]);
  try {
    const items = client.watch({ snapshot: true, kinds: [EventKind.ACTUAL_LRP], processGuids: [name], signal });
    for await (const item of items) {
      const lrp = instanceOf(item);
      const isReplacement =
        lrp?.key?.index === index && lrp.state === ActualLrpState.RUNNING && lrp.instanceGuid !== old.instanceGuid;
      if (lrp !== undefined && isReplacement) return lrp;
    }
  } catch (error) {
    if (!timeout.aborted) throw error;
  }
  throw new CliError(EXIT.failed, `the replacement of ${name}/${index} did not come up in time`, [
    `See its state:  rivera lrp show ${name}`,
    `See its log:    rivera logs ${name} --index ${index}`,
  ]);
}

function instanceOf(item: WatchItem): ActualLrp | undefined {
  if (item.kind === 'snapshot') return item.record.record?.$case === 'actualLrp' ? item.record.record.value : undefined;
  if (item.kind !== 'event') return undefined;
  switch (item.event.event?.$case) {
    case 'actualLrpCreated':
      return item.event.event.value.actualLrp;
    case 'actualLrpChanged':
      return item.event.event.value.after;
    default:
      return undefined;
  }
}
