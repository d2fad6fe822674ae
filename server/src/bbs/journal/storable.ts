import { identifiers, unstorable } from '../core/storable.js';
import { type JournalBatch, JournalError } from './journal.js';

/**
 * What the memory journal refuses because a database would.
 * @throws JournalError `rejected`
 */
export function assertStorable(batch: JournalBatch): void {
  const before = undefined;
  for (const row of batch.tasks.values()) refuse(unstorable({ kind: 'task', before, after: row ?? undefined }));
  for (const row of batch.desiredLrps.values()) {
    refuse(unstorable({ kind: 'desired-lrp', before, after: row ?? undefined }));
  }
  for (const { row } of batch.actualLrps.values()) refuse(unstorable({ kind: 'actual-lrp', before, after: row }));
  for (const row of batch.domains.values()) refuse(unstorable({ kind: 'domain', before, after: row ?? undefined }));
  for (const row of batch.cells.values()) refuse(unstorable({ kind: 'cell', before, after: row ?? undefined }));
  refuse(identifiers(...batch.taskDefinitions.keys(), ...batch.runInfos.keys()));
}

function refuse(reason: string | undefined): void {
  if (reason !== undefined) throw new JournalError('rejected', reason);
}
