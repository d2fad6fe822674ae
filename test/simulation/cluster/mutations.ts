/** One place of the product that is broken on purpose. */
export interface Mutation {
  /** From the root of the repository. */
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** What it means for users. */
  readonly breaks: string;
}

const CORE = 'server/src/bbs/core';

/** Mistakes that somebody could make and a review could miss; each has to be found. */
export const MUTATIONS: readonly Mutation[] = [
  {
    file: `${CORE}/task.ts`,
    find: 'if (task.state === TaskState.RUNNING && task.cellId === cellId && task.executionGuid === executionGuid) return task;',
    replace: 'if (task.state === TaskState.RUNNING) return task;',
    breaks: 'a second execution is told to start what runs already',
  },
  {
    file: `${CORE}/task.ts`,
    find: 'if (by !== undefined || task.state === TaskState.RUNNING) requireHolder(task, by);',
    replace: 'if (by !== undefined) requireHolder(task, by);',
    breaks: 'an auctioneer that learns late gives back a Task that runs',
  },
  {
    file: `${CORE}/task.ts`,
    find: "requireAllowed(task, 'lose');\n  return finish(draft, task, { failureReason: reason });",
    replace:
      "requireAllowed(task, 'lose');\n  return draft.putTask({ ...task, state: TaskState.PENDING, cellId: '' });",
    breaks: 'a Task of a lost cell is run again',
  },
  {
    file: `${CORE}/state.ts`,
    find: 'return task.firstCompletedAtMs + policy.expireCompletedTaskMs;',
    replace: 'return task.firstCompletedAtMs + policy.expireCompletedTaskMs / 2;',
    breaks: 'results are forgotten before their time',
  },
  {
    file: `${CORE}/actual-lrp.ts`,
    find: 'if (row.domain !== ref.domain || row.state !== ActualLrpState.UNCLAIMED) {',
    replace: 'if (row.domain !== ref.domain) {',
    breaks: 'a claim takes the slot of what runs',
  },
  {
    file: `${CORE}/actual-lrp.ts`,
    find: "nextRestartAtMs: decision.restart.kind === 'at' ? decision.restart.atMs : 0,",
    replace: 'nextRestartAtMs: 0,',
    breaks: 'an instance that crashed a few times never starts again',
  },
  {
    file: `${CORE}/actual-lrp.ts`,
    find: '  draft.deleteActualLrp(row);\n  replaceWanted(draft, row);\n}\n\n/** No cell took it',
    replace: '  draft.deleteActualLrp(row);\n}\n\n/** No cell took it',
    breaks: 'a slot that was stopped and is still wanted stays empty until the next comparison',
  },
  {
    file: `${CORE}/actual-lrp.ts`,
    find: "if (row.state === ActualLrpState.UNCLAIMED && isWanted(draft, processGuid, index)) {\n    draft.effect({ kind: 'auction-lrp', processGuid, index });",
    replace: 'if (row.state === ActualLrpState.UNCLAIMED && isWanted(draft, processGuid, index)) {',
    breaks: 'what could not be placed once is never offered again',
  },
  {
    file: `${CORE}/succession.ts`,
    find: "for (const row of others) if (!row.retired) supersede(draft, row, 'its replacement runs');",
    replace: '',
    breaks: 'what was replaced runs on beside its replacement',
  },
  {
    file: `${CORE}/succession.ts`,
    find: '  else if (ordinary !== undefined) draft.deleteActualLrp(ordinary);\n',
    replace: '',
    breaks: 'an instance that comes back takes the place of a record that nobody removed',
  },
  {
    file: `${CORE}/cell.ts`,
    find: "if (draft.state.tasks.get(guid)?.state === TaskState.RUNNING) {\n      loseTask(draft, guid, 'cell disappeared before completion');\n    }",
    replace: '',
    breaks: 'Tasks of a lost cell run for ever, for all that anybody is told',
  },
  {
    file: `${CORE}/cell.ts`,
    find: '    draft.lookAgainAt(dueKey.cell(cellId), expiresAtMs);\n',
    replace: '',
    breaks: 'a cell that was heard of in time is not looked at again, and never missed',
  },
  {
    file: `${CORE}/cell.ts`,
    find: '      giveUp(draft, row);\n      lost++;',
    replace: '      lost++;',
    breaks: 'an instance that its cell does not have counts as running',
  },
  {
    file: `${CORE}/converge.ts`,
    find: 'return actualLrpDue(draft, { processGuid, index: Number(index), generation });',
    replace: "return actualLrpDue(draft, { processGuid, index: Number(index), generation: '' });",
    breaks: 'a container without a slot is told to stop once, and never again',
  },
  {
    file: `${CORE}/converge.ts`,
    find: 'return domainDue(draft, rest);',
    replace: 'return;',
    breaks: 'a domain that nobody vouches for stays fresh',
  },
  {
    file: `${CORE}/desired-lrp.ts`,
    find: 'if (after.instances > before.instances) createMissing(draft, after);',
    replace: '',
    breaks: 'scaling up does nothing until the next comparison',
  },
  {
    file: 'server/src/bbs/engine/prepared-state.ts',
    find: 'for (const guid of end.changed.desiredLrps) state',
    replace: 'for (const guid of end.changed.tasks) state',
    breaks: 'who read the state ahead keeps LRPs that were removed since',
  },
  {
    file: 'server/src/bbs/handing-over.ts',
    find: 'const changed = changedSince(changes, preparedRevision);',
    replace: 'const changed = changedSince(changes, changes.lastRevision);',
    breaks: 'a leader that ends does not tell what changed since its state was read',
  },
  {
    file: 'server/src/bbs/engine/engine.ts',
    find: 'if (this.appliedRevision === this.durableRevisionValue) return Promise.resolve();',
    replace: 'return Promise.resolve();',
    breaks: 'writes are acknowledged before they are durable',
  },
  {
    file: 'server/src/bbs/engine/engine.ts',
    find: '        await this.options.clock.sleep(waitMs);\n',
    replace: '        return retries;\n',
    breaks: 'a batch that the database did not take counts as durable',
  },
  {
    file: 'server/src/bbs/session/session.ts',
    find: '      .then(() => durable)\n',
    replace: '',
    breaks: 'cells act on what a crash can take back',
  },
  {
    file: 'server/src/bbs/api/session-service.ts',
    find: "session.command([{ command: { $case: 'evacuate', value: {} } }]);",
    replace: '',
    breaks: 'a cell that did not hear that it is drained bids for work that it is refused, in a circle',
  },
  {
    file: 'cells/src/rep/agenda.ts',
    find: 'held.inventory(requestId, this.#reconciler.asked())',
    replace: 'held.inventory(requestId, [])',
    breaks: 'an inventory leaves out what the BBS has just given, which counts as lost then',
  },
  {
    file: 'cells/src/rep/outbox.ts',
    find: 'this.#unsent = [...this.#pending.values()];',
    replace: 'this.#unsent = [];',
    breaks: 'a report that was lost with its stream is not sent again',
  },
];
