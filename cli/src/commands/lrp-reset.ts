import { ActualLrp, ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { CliError, EXIT } from '../failures.js';
import type { Io } from '../io.js';
import { parseSlots, type Slots } from '../recipe/quantities.js';
import type { Session } from '../session.js';
import { count } from '../terminal/text.js';
import { withSuggestion } from './names.js';
import { instanceState } from './states.js';

/** `rivera lrp reset`: crashed instances start anew at once, with no crash counted against them. */
export function addReset(lrp: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    lrp
      .command('reset')
      .argument('<name[/index]>', 'of the LRP, or of one instance')
      .description('try crashed instances again at once, also those that were given up'),
  );
  examples(
    command,
    ['rivera lrp reset hello', 'all that are crashed'],
    ['rivera lrp reset hello/1', 'only the second'],
    ['rivera lrp restart hello', 'replaces those that have a container instead'],
  );
  perform(command, io, outcome, async (session, [name = '']) => {
    const slot = parseSlots(name);
    const crashed = await withSuggestion(session, 'lrp', slot.processGuid, () => crashedInstances(session, slot));
    const client = await session.client();
    const { signal, out } = session;
    for (const { key } of crashed) {
      const index = key?.index ?? 0;
      await client.actualLrps.retire(slot.processGuid, index, { signal });
      if (!out.json) continue;
      for (const record of await client.actualLrps.get(slot.processGuid, index, { signal })) {
        await out.line(ActualLrp.toJSON(record));
      }
    }
    if (!out.json) await out.note(`${name}: ${count(crashed.length, 'crashed instance')} tried again\n`);
    return undefined;
  });
}

/** @throws CliError (failed) when one instance is meant and is not crashed */
async function crashedInstances(session: Session, { processGuid, index }: Slots): Promise<ActualLrp[]> {
  const { actualLrps, desiredLrps } = await session.client();
  const { signal } = session;
  if (index === undefined) {
    await desiredLrps.get(processGuid, undefined, { signal });
    const crashed: ActualLrp[] = [];
    const filter = { processGuids: [processGuid], states: [ActualLrpState.CRASHED] };
    for await (const lrp of actualLrps.list(filter, { signal })) crashed.push(lrp);
    return crashed;
  }
  const records = await actualLrps.get(processGuid, index, { signal });
  const ordinary = records.find(({ presence }) => presence === ActualLrpPresence.ORDINARY);
  if (ordinary?.state === ActualLrpState.CRASHED) return [ordinary];
  const state = ordinary === undefined ? 'not there' : instanceState(ordinary);
  throw new CliError(EXIT.failed, `${processGuid}/${index} is ${state}, not crashed`, [
    `Replace it:      rivera lrp restart ${processGuid} --index ${index}`,
    `See its story:   rivera explain ${processGuid}/${index}`,
  ]);
}
