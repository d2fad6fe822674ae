import type { Policy } from '../core/policy.js';
import { State } from '../core/state.js';
import type { Journal, JournalRows } from '../journal/journal.js';

/** Everything as it was at some revision, read while another server still led; with what changed since it is as good as a load. */
export class PreparedState {
  private constructor(
    readonly state: State,
    /** Of the term that it was read in. */
    readonly epoch: number,
    readonly revision: number,
  ) {}

  /** @throws JournalError */
  static async read(journal: Journal, policy: Policy): Promise<PreparedState> {
    const { epoch, revision, rows } = await journal.preview();
    const state = new State(policy);
    for await (const part of rows) addRows(state, part);
    return new PreparedState(state, epoch, revision);
  }

  /**
   * Reads what changed since, when the leader before has left word of it; the journal has been opened, at `revision`.
   * @returns the state, complete; undefined: it is of no use, and everything has to be read
   */
  async catchUp(journal: Journal, revision: number): Promise<State | undefined> {
    const handover = await journal.readHandover();
    const { epoch, preparedRevision, end } = handover ?? {};
    if (end?.revision !== revision || epoch !== this.epoch || preparedRevision !== this.revision) return undefined;
    const rows = await journal.reread(end.changed);
    const { state } = this;
    for (const guid of end.changed.tasks) state.setTask(guid, state.tasks.get(guid), undefined);
    for (const guid of end.changed.desiredLrps) state.setDesiredLrp(guid, state.desiredLrps.get(guid), undefined);
    for (const [processGuid, index, generation] of end.changed.actualLrps) {
      const { ordinary, others } = state.slot(processGuid, index);
      const row = generation === '' ? ordinary : others.find((each) => each.generation === generation);
      if (row !== undefined) state.setActualLrp(row, undefined);
    }
    for (const domain of end.changed.domains) state.setDomain(domain, undefined);
    for (const cellId of end.changed.cells) state.setCell(cellId, undefined);
    addRows(state, rows);
    return state;
  }
}

/** Rows of which the state has none yet. */
export function addRows(state: State, rows: JournalRows): void {
  for (const row of rows.tasks ?? []) state.setTask(row.guid, undefined, row);
  for (const row of rows.desiredLrps ?? []) state.setDesiredLrp(row.processGuid, undefined, row);
  for (const row of rows.actualLrps ?? []) state.setActualLrp(undefined, row);
  for (const row of rows.domains ?? []) state.setDomain(row.domain, row);
  for (const row of rows.cells ?? []) state.setCell(row.cellId, row);
}
