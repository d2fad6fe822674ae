import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { type ModelCell, ModelCluster } from './cluster-testing.js';
import { auditProcess, auditTask } from './converge.js';
import { upsertDomain } from './domain.js';
import { DOMAINS, history, perform } from './history-testing.js';
import { instancesOf, must } from './invariants-testing.js';

const CELLS = ['a', 'b', 'c'];
const POLICY = {
  expirePendingTaskMs: 120_000,
  callbackRetentionMs: 40_000,
  deadLetterRetentionMs: 60_000,
  maxDeadLetters: 1,
  forgetCellMs: 60_000,
  massLoss: { graceMs: 20_000, fraction: 0.5, minimumCells: 2 },
  restart: {
    resetAfterMs: 60_000,
    immediateRestarts: 2,
    minimumBackoffMs: 10_000,
    maximumBackoffMs: 40_000,
    giveUpAt: 6,
  },
};

/** Looks at everything; it may only find instances that nobody vouched against when they came. */
function audit(cluster: ModelCluster): number {
  const { state } = cluster;
  let mended = 0;
  for (const processGuid of new Set([...state.desiredLrps.keys(), ...state.slotOrder.after('')])) {
    const orphans = instancesOf(state).filter(
      (row) => row.processGuid === processGuid && !row.retired && cluster.orphans.has(row.instanceGuid),
    );
    const found = cluster.run((draft) => auditProcess(draft, processGuid));
    must(found === 0 || orphans.length > 0, `the audit of ${processGuid} mended ${found} rows`);
    mended += found;
  }
  for (const guid of [...state.tasks.keys()]) {
    must(cluster.run((draft) => auditTask(draft, guid)) === 0, `the audit mended task ${guid}`);
  }
  return mended;
}

/** All cells come back and keep to the protocol, clients vouch for their domains, and time passes. */
function heal(cluster: ModelCluster): void {
  for (const domain of DOMAINS) cluster.run((draft) => upsertDomain(draft, domain, 0));
  for (const cell of cluster.cells) {
    // Its agent starts anew: it is not drained any more.
    if (cluster.state.cells.get(cell.cellId)?.evacuating) cluster.connect(cell, 'i2');
    else if (!cell.connected) cluster.connect(cell, 'i1');
  }
  for (let round = 0; round < 12; round++) {
    audit(cluster);
    settle(cluster);
    for (const cell of cluster.cells) if (cluster.differs(cell)) cluster.tellAll(cell);
    settle(cluster);
    cluster.wait(10_000);
  }
}

/** Work is taken, reported and stopped until nothing is left to be said. */
function settle(cluster: ModelCluster): void {
  for (let turn = 0; turn < 50; turn++) {
    let quiet = true;
    for (const offer of cluster.offers.splice(0)) {
      cluster.take(cluster.cells[turn % cluster.cells.length] as ModelCell, offer);
      quiet = false;
    }
    for (const cell of cluster.cells) {
      while (cell.commands.length > 0) cluster.obey(cell);
      for (const held of cell.instances.values()) {
        if (held.phase === 'running' && !held.asked) continue;
        cluster.speak(cell, held, true);
        quiet = false;
      }
      for (const held of cell.tasks.values()) {
        if (held.phase === 'started' && !held.asked) continue;
        cluster.speak(cell, held, true);
        quiet = false;
      }
    }
    if (quiet) return;
  }
  throw new Error('the cluster does not come to rest');
}

/** After healing all is as clients want it, and cells hold what the BBS believes. */
function checkHealed(cluster: ModelCluster): void {
  const { state } = cluster;
  must(audit(cluster) === 0, 'the audit finds something in a healthy cluster');
  for (const row of instancesOf(state)) {
    const name = `${row.processGuid}/${row.index}`;
    must(row.generation === '', `${name} has a record of ${row.generation} left`);
    must(cluster.isWanted(row), `${name} is not wanted and is still ${ActualLrpState[row.state]}`);
    const givenUp = row.state === ActualLrpState.CRASHED && row.nextRestartAtMs === 0;
    must(givenUp || (row.state === ActualLrpState.RUNNING && !row.retired), `${name} is ${ActualLrpState[row.state]}`);
    const cell = cluster.cells.find(({ cellId }) => cellId === row.cellId);
    must(
      givenUp || cell?.instances.get(row.instanceGuid)?.phase === 'running',
      `${name} is not held by cell ${row.cellId}`,
    );
  }
  for (const cell of cluster.cells) {
    must(
      cell.instances.size === state.lrpsOnCell(cell.cellId).size,
      `cell ${cell.cellId} holds instances that the BBS does not know`,
    );
    for (const { taskGuid, executionGuid } of cell.tasks.values()) {
      const task = state.tasks.get(taskGuid);
      must(
        task?.state === TaskState.RUNNING && task.executionGuid === executionGuid,
        `cell ${cell.cellId} runs ${taskGuid}, which is over`,
      );
    }
  }
}

const RUNS = Number(process.env.RIVERA_PROPERTY_RUNS ?? 5_000);

describe('the core, after any history of clients, cells and time', () => {
  it('keeps its promises at every step, and heals', () => {
    fc.assert(
      fc.property(history, ({ steps, cells, watchFrom }) => {
        const cluster = new ModelCluster(CELLS.slice(0, cells), POLICY);
        for (const cell of cluster.cells) cluster.connect(cell, 'i1');
        for (const [i, each] of steps.entries()) {
          if (i === watchFrom) cluster.startWatching();
          perform(cluster, each);
          cluster.check();
        }
        cluster.checkWatcher();
        heal(cluster);
        cluster.check();
        checkHealed(cluster);
      }),
      { numRuns: RUNS },
    );
  }, 60_000);
});
