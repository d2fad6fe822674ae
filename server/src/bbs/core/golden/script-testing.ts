import { ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { UpdateStrategy } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { RiveraError } from '@rivera/kit/errors';
import {
  claimActualLrp,
  crashActualLrp,
  declineWhileDraining,
  failPlacement,
  removeActualLrp,
  retireActualLrp,
  runActualLrp,
} from '../actual-lrp.js';
import { cellArrived, declareCellMissing, evacuateCell, reconcileInventory } from '../cell.js';
import { auditProcess, auditTask } from '../converge.js';
import { removeDesiredLrp, updateDesiredLrp } from '../desired-lrp.js';
import { upsertDomain } from '../domain.js';
import type { Draft, Effect, RowChange } from '../draft.js';
import { type ActualLrpRow, isShown, type TaskRow } from '../model.js';
import { moveActualLrp } from '../succession.js';
import { cancelTask, completeTask, deleteTask, rejectTask, resolveTask, startTask } from '../task.js';
import { CoreBench, instance, presence, RUNNING_FACTS } from '../testing.js';

/**
 * Runs the commands of a transcript on a core without anything around it, and tells what each one did: rows before → after, and what
 * is to be done outside. Times in the output are since the beginning.
 */
export class Script {
  private readonly bench = new CoreBench();
  private readonly startedAtMs = this.bench.now;
  private readonly lines: string[] = [];
  /** Cells that send heartbeats. */
  private readonly alive = new Set<string>();
  /** Cells whose agent has not told yet what it holds. */
  private readonly newAgents = new Set<string>();

  /** @returns what the command did, one line each */
  run(command: string): string[] {
    const [verb = '', ...words] = command.split(/\s+/);
    const commands = this.commands();
    const action = commands[verb];
    if (action === undefined)
      throw new Error(`no such command: ${verb}; there are ${Object.keys(commands).join(', ')}`);
    try {
      action(words);
    } catch (error) {
      if (!(error instanceof RiveraError)) throw error;
      this.lines.push(`refused: ${error.reason}`);
    }
    const lines = this.lines.splice(0);
    return lines.length > 0 ? lines : ['nothing'];
  }

  private commands(): Record<string, (words: string[]) => void> {
    return {
      cell: ([cellId = '', incarnation = 'i1']) => {
        this.alive.add(cellId);
        this.bench.heartbeat(cellId);
        if (this.bench.state.cells.get(cellId)?.incarnation !== incarnation) this.newAgents.add(cellId);
        this.decide((draft) => cellArrived(draft, presence(cellId), incarnation));
      },
      silence: (cellIds) => {
        for (const cellId of cellIds) this.alive.delete(cellId);
      },
      holds: ([cellId = '', ...refs]) => {
        const lrps = refs.filter((ref) => ref.includes('/')).map((ref) => refOf(`${ref}@${cellId}`));
        const tasks = refs.filter((ref) => !ref.includes('/')).map((ref) => execution(`${ref}@${cellId}`));
        const agentIsNew = this.newAgents.delete(cellId);
        this.decide((draft) => reconcileInventory(draft, cellId, { lrps, tasks, agentIsNew }));
      },
      drain: ([cellId = '']) => this.decide((draft) => evacuateCell(draft, cellId)),
      gone: ([cellId = '']) =>
        this.decide((draft) => declareCellMissing(draft, cellId, (id) => (this.alive.has(id) ? this.bench.now : 0))),
      wait: ([time = '']) => this.wait(milliseconds(time)),
      lrp: ([processGuid = '', ...options]) => {
        const { instances = '1', strategy = 'ROLLING', domain = 'd' } = pairs(options);
        const updateStrategy = strategy === 'RECREATE' ? UpdateStrategy.RECREATE : UpdateStrategy.ROLLING;
        this.tell(() => this.bench.lrp(processGuid, Number(instances), { updateStrategy, domain }));
      },
      scale: ([processGuid = '', instances]) =>
        this.decide((draft) => updateDesiredLrp(draft, processGuid, { instances: Number(instances) })),
      routes: ([processGuid = '', hostname]) =>
        this.decide((draft) =>
          updateDesiredLrp(draft, processGuid, { routes: { 'internal-router': JSON.stringify([{ hostname }]) } }),
        ),
      remove: ([processGuid = '']) => this.decide((draft) => removeDesiredLrp(draft, processGuid)),
      vouch: ([domain = '', ttl = '0s']) => this.decide((draft) => upsertDomain(draft, domain, milliseconds(ttl))),
      claim: ([ref = '']) =>
        this.decide((draft) => {
          const declined = declineWhileDraining(draft, refOf(ref));
          if (declined === undefined) claimActualLrp(draft, refOf(ref));
          else this.lines.push(`refused: ${declined.reason}`);
        }),
      up: ([ref = '']) => this.decide((draft) => runActualLrp(draft, refOf(ref), RUNNING_FACTS)),
      crash: ([ref = '']) => this.decide((draft) => crashActualLrp(draft, refOf(ref), 'Exited with status 1')),
      stopped: ([ref = '']) => this.decide((draft) => removeActualLrp(draft, refOf(ref))),
      retire: ([slot = '']) => {
        const { processGuid, index } = refOf(slot);
        const row = this.bench.slot(processGuid, index);
        if (row !== undefined) this.decide((draft) => retireActualLrp(draft, row, 'retired by a client'));
      },
      move: ([slot = '']) => {
        const { processGuid, index } = refOf(slot);
        const row = this.bench.slot(processGuid, index);
        if (row !== undefined) this.decide((draft) => moveActualLrp(draft, row));
      },
      unplaced: ([slot = '']) => {
        const { processGuid, index } = refOf(slot);
        this.decide((draft) => failPlacement(draft, processGuid, index, 'insufficient resources: memory', []));
      },
      audit: ([processGuid = '']) => this.decide((draft) => auditProcess(draft, processGuid)),
      task: ([guid = '', ...options]) => {
        const { callback = '' } = pairs(options);
        this.tell(() => this.bench.task(guid, { callbackUrl: callback }));
      },
      start: ([ref = '']) => {
        const { taskGuid, cellId, executionGuid } = execution(ref);
        this.decide((draft) => startTask(draft, taskGuid, cellId, executionGuid));
      },
      complete: ([ref = '']) => {
        const { taskGuid, ...by } = execution(ref);
        const outcome = { failed: false, failureReason: '', result: 'done' };
        this.decide((draft) => completeTask(draft, taskGuid, by, outcome));
      },
      reject: ([guid = '']) => this.decide((draft) => rejectTask(draft, guid, 'insufficient resources')),
      cancel: ([guid = '']) => this.decide((draft) => cancelTask(draft, guid)),
      resolve: ([guid = '']) => this.decide((draft) => resolveTask(draft, guid)),
      delete: ([guid = '']) => this.decide((draft) => deleteTask(draft, guid)),
      'audit-task': ([guid = '']) => this.decide((draft) => auditTask(draft, guid)),
      // What was told of a record behind the back of the rules, as a defect or a lost table would.
      'forget-lrp': ([processGuid = '']) => this.decide((draft) => draft.deleteDesiredLrp(processGuid)),
      'forget-slot': ([slot = '']) => {
        const { processGuid, index } = refOf(slot);
        const row = this.bench.slot(processGuid, index);
        if (row !== undefined) this.decide((draft) => draft.deleteActualLrp(row));
      },
    };
  }

  private decide(decide: (draft: Draft) => unknown): void {
    this.tell(() => this.bench.run(decide));
  }

  /** Time passes in steps as short as a heartbeat; what becomes due on the way is looked at, and told once however often it is. */
  private wait(ms: number): void {
    const until = this.bench.now + ms;
    let last: { text: string; times: number } | undefined;
    while (this.bench.now < until) {
      for (const cellId of this.alive) this.bench.heartbeat(cellId);
      const told = this.lines.splice(0);
      this.tell(() => this.bench.pass(Math.min(1_000, until - this.bench.now)));
      const seconds = (this.bench.now - this.startedAtMs) / 1_000;
      for (const text of this.lines.splice(0)) {
        if (last?.text === text) {
          last = { text, times: last.times + 1 };
          if (last.times > 2) told.pop();
          told.push(
            last.times > 2 ? `… until ${seconds}s: ${text}, ${last.times} times in all` : `after ${seconds}s: ${text}`,
          );
        } else {
          last = { text, times: 1 };
          told.push(`after ${seconds}s: ${text}`);
        }
      }
      this.lines.push(...told);
    }
  }

  private tell(act: () => unknown): void {
    const changes: RowChange[] = [];
    const effects: Effect[] = [];
    const stop = this.bench.observe((draft) => {
      changes.push(...draft.changes);
      effects.push(...draft.effects);
    });
    try {
      act();
    } finally {
      stop();
    }
    this.lines.push(...changes.flatMap(describeChange), ...effects.flatMap(describeEffect));
  }
}

function describeChange(change: RowChange): string[] {
  const { before, after } = change;
  switch (change.kind) {
    case 'actual-lrp': {
      const row = (change.after ?? change.before) as ActualLrpRow;
      return [`${row.processGuid}/${row.index}: ${instanceText(change.before)} → ${instanceText(change.after)}`];
    }
    case 'task':
      return [`task ${(change.after ?? change.before)?.guid}: ${taskText(change.before)} → ${taskText(change.after)}`];
    case 'cell': {
      const row = change.after ?? change.before;
      const text = (cell: typeof row) =>
        cell === undefined
          ? '–'
          : cell.missing
            ? 'missing'
            : cell.silent
              ? 'silent'
              : cell.evacuating
                ? 'draining'
                : 'present';
      return text(change.before) === text(change.after)
        ? []
        : [`cell ${row?.cellId}: ${text(change.before)} → ${text(change.after)}`];
    }
    case 'domain':
      return [`domain ${change.after?.domain ?? change.before?.domain}: ${after ? 'fresh' : 'not fresh any more'}`];
    case 'desired-lrp':
      if (after !== undefined && before !== undefined) return [];
      return [`LRP ${(change.after ?? change.before)?.processGuid} ${after === undefined ? 'gone' : 'desired'}`];
  }
}

function instanceText(row: ActualLrpRow | undefined): string {
  if (row === undefined) return '–';
  const tombstone = !isShown(row);
  const presence = row.presence === ActualLrpPresence.ORDINARY ? '' : `${ActualLrpPresence[row.presence]} `;
  const part = tombstone ? 'tombstone of ' : presence;
  const holder = row.cellId === '' ? '' : ` ${row.instanceGuid}@${row.cellId}`;
  const crashes = row.crashCount > 0 ? ` crashes=${row.crashCount}` : '';
  const error = row.placementError === '' ? '' : ` "${row.placementError}"`;
  const stop = row.retired && !tombstone ? ' to stop' : '';
  return `${part}${ActualLrpState[row.state]}${holder}${crashes}${error}${stop}`;
}

function taskText(row: TaskRow | undefined): string {
  if (row === undefined) return '–';
  const outcome = row.failed ? ` "${row.failureReason}"` : row.result === '' ? '' : ` result=${row.result}`;
  const holder = row.cellId === '' ? '' : ` ${row.executionGuid}@${row.cellId}`;
  const rejections = row.rejectionCount > 0 ? ` rejections=${row.rejectionCount}` : '';
  return `${TaskState[row.state]}${holder}${rejections}${outcome}`;
}

function describeEffect(effect: Effect): string[] {
  switch (effect.kind) {
    case 'auction-lrp':
      return [`  offer ${effect.processGuid}/${effect.index}`];
    case 'auction-task':
      return [`  offer task ${effect.taskGuid}`];
    case 'stop-lrp': {
      const { instanceGuid, cellId } = effect.instance;
      return [`  tell ${cellId} to stop ${instanceGuid}: ${effect.reason}`];
    }
    case 'update-lrp':
      return [
        `  tell ${effect.instance.cellId} that ${effect.instance.instanceGuid} has routes ${effect.internalRoutes}`,
      ];
    case 'cancel-task':
      return [`  tell ${effect.cellId} to cancel ${effect.executionGuid}`];
    case 'evacuate-cell':
      return [`  tell ${effect.cellId} that it is drained`];
    case 'end-session':
      return [`  end the session of ${effect.cellId}`];
    case 'callback':
      return [`  call back for task ${effect.taskGuid}`];
  }
}

/** "p/0:guid@cell" */
function refOf(text: string) {
  const [, processGuid = '', index = '0', instanceGuid = '', cellId = ''] =
    /^([^/]+)\/(\d+)(?::([^@]+))?(?:@(.+))?$/.exec(text) ?? [];
  if (processGuid === '') throw new Error(`not an instance: ${text}`);
  return instance(processGuid, Number(index), cellId, instanceGuid);
}

/** "t:execution@cell" */
function execution(text: string) {
  const [, taskGuid = '', executionGuid = '', cellId = ''] = /^([^:]+):([^@]+)@(.+)$/.exec(text) ?? [];
  if (taskGuid === '') throw new Error(`not an execution: ${text}`);
  return { taskGuid, executionGuid, cellId };
}

function pairs(options: readonly string[]): Record<string, string> {
  return Object.fromEntries(options.map((option) => option.split('=') as [string, string]));
}

function milliseconds(time: string): number {
  const [, count, unit] = /^(\d+)(s|m)$/.exec(time) ?? [];
  if (unit === undefined) throw new Error(`not a time: ${time}`);
  return Number(count) * (unit === 'm' ? 60_000 : 1_000);
}
