import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { RiveraError } from '@rivera/kit/errors';
import { claimActualLrp, crashActualLrp, declineWhileDraining, removeActualLrp, runActualLrp } from './actual-lrp.js';
import { cellArrived, reconcileInventory } from './cell.js';
import type { Draft, Effect, InstanceRef, PayloadChange, RowChange } from './draft.js';
import { checkDue, checkIndexes, checkRows, keysOf, must, rowsOf, WatcherModel } from './invariants-testing.js';
import { actualLrpKey } from './model.js';
import type { Policy } from './policy.js';
import { completeTask, rejectTask, startTask } from './task.js';
import { CoreBench, presence, RUNNING_FACTS } from './testing.js';

/** What a cell tells of its work. */
export type Statement =
  | { kind: 'claim' | 'run' | 'crash' | 'remove'; ref: InstanceRef; routable?: boolean }
  | { kind: 'start' | 'reject' | 'complete'; taskGuid: string; executionGuid: string };

/** A container as its cell knows it; `asked`: the cell has spoken and heard no answer. */
export interface HeldInstance {
  readonly ref: InstanceRef;
  phase: 'reserved' | 'claimed' | 'running' | 'crashed' | 'stopped';
  asked: boolean;
}

export interface HeldTask {
  readonly taskGuid: string;
  readonly executionGuid: string;
  phase: 'reserved' | 'started' | 'ended';
  asked: boolean;
}

const REMEMBERED = 12;

/** A cell that keeps to the protocol, except that it may say again what it said long ago. */
export class ModelCell {
  connected = false;
  readonly instances = new Map<string, HeldInstance>();
  readonly tasks = new Map<string, HeldTask>();
  readonly said: Statement[] = [];
  /** Stops and cancellations that it has received and not obeyed. */
  readonly commands: Effect[] = [];

  constructor(readonly cellId: string) {}

  holds(held: HeldInstance | HeldTask): boolean {
    return 'ref' in held ? this.instances.has(held.ref.instanceGuid) : this.tasks.has(held.executionGuid);
  }

  forgetAll(): void {
    this.instances.clear();
    this.tasks.clear();
    this.commands.length = 0;
  }
}

/** The core with cells around it, and every change looked at. */
export class ModelCluster extends CoreBench {
  readonly cells: readonly ModelCell[];
  /** Work that is offered to cells; an offer may be lost, and is made again. */
  readonly offers: Effect[] = [];
  /** Who was told to start each Task and has not given it back. */
  private readonly starts = new Map<string, string>();
  /** Unwanted instances that were accepted because nobody vouched for their domain, by container. */
  readonly orphans = new Set<string>();
  private readonly known = new Map<string, RowChange['after']>();
  /** Recipes that the journal has, by kind and guid. */
  private readonly payloads = new Set<string>();
  private watcher: WatcherModel;
  private names = 0;

  constructor(cellIds: readonly string[], policy: Partial<Policy>) {
    super(policy);
    this.cells = cellIds.map((cellId) => new ModelCell(cellId));
    this.watcher = new WatcherModel(this.state);
  }

  name(kind: string): string {
    return `${kind}-${++this.names}`;
  }

  override run<T>(decide: (draft: Draft) => T): T {
    let changes: readonly RowChange[] = [];
    let effects: readonly Effect[] = [];
    let payloads: readonly PayloadChange[] = [];
    const result = super.run((draft) => {
      const decided = decide(draft);
      changes = [...draft.changes];
      effects = [...draft.effects];
      payloads = [...draft.payloads];
      return decided;
    });
    for (const { kind, guid, payload } of payloads) {
      if (payload === undefined) this.payloads.delete(`${kind}/${guid}`);
      else this.payloads.add(`${kind}/${guid}`);
    }
    for (const change of changes) this.see(change);
    for (const effect of effects) this.dispatch(effect);
    return result;
  }

  /** Runs a command that may be refused. @returns whether it was accepted */
  try(decide: (draft: Draft) => unknown): boolean {
    try {
      this.run(decide);
      return true;
    } catch (error) {
      if (error instanceof RiveraError) return false;
      throw error;
    }
  }

  /** Lets time pass while connected cells send heartbeats; a cell that became missing has lost its session. */
  wait(ms: number): void {
    const step = Math.floor(this.state.policy.presenceTtlMs / 3);
    for (let left = ms; left > 0; left -= step) {
      for (const cell of this.cells) if (cell.connected) this.heartbeat(cell.cellId);
      this.pass(Math.min(step, left));
    }
  }

  /** The cell says hello, repeats what it has no answer to, tells what it holds, and says once more what was acknowledged. */
  connect(cell: ModelCell, incarnation: string): void {
    cell.connected = true;
    cell.commands.length = 0;
    this.heartbeat(cell.cellId);
    const agentIsNew = this.state.cells.get(cell.cellId)?.incarnation !== incarnation;
    this.run((draft) => cellArrived(draft, presence(cell.cellId), incarnation));
    for (const item of [...cell.instances.values(), ...cell.tasks.values()])
      if (item.asked) this.speak(cell, item, true);
    this.tellAll(cell, agentIsNew);
  }

  /** What a heartbeat's digest shows: whether BBS and cell hold the same of it. */
  differs(cell: ModelCell): boolean {
    const { cellId } = cell;
    const believed = [
      ...[...this.state.lrpsOnCell(cellId)].map(
        ({ instanceGuid, state }) => `${instanceGuid}/${ActualLrpState[state]}`,
      ),
      ...[...this.state.tasksOnCell(cellId)].map((guid) => this.state.tasks.get(guid)?.executionGuid),
    ];
    const held = [
      ...[...cell.instances.values()].map(({ ref, phase }) => `${ref.instanceGuid}/${phase.toUpperCase()}`),
      ...cell.tasks.keys(),
    ];
    return believed.sort().join() !== held.sort().join();
  }

  /** The inventory, and behind it everything that the cell believes to be acknowledged: who says that it is here gets it back. */
  tellAll(cell: ModelCell, agentIsNew = false): void {
    this.inventory(cell, agentIsNew);
    for (const held of cell.instances.values()) {
      if (held.phase === 'running') this.speak(cell, held, true);
      else if (held.phase === 'claimed' && !this.say(cell, { kind: 'claim', ref: held.ref })) {
        cell.instances.delete(held.ref.instanceGuid);
      }
    }
    for (const held of cell.tasks.values()) if (held.phase === 'started') this.speak(cell, held, true);
  }

  /** What is reserved and was never asked for is not told, as the BBS can't know of it. What is somebody else's, or over, must go. */
  inventory(cell: ModelCell, agentIsNew = false): void {
    const lrps = [...cell.instances.values()]
      .filter((held) => held.phase !== 'reserved' || held.asked)
      .map(({ ref }) => ref);
    const tasks = [...cell.tasks.values()].filter((held) => held.phase !== 'reserved' || held.asked);
    this.run((draft) => reconcileInventory(draft, cell.cellId, { lrps, tasks, agentIsNew }));
    if (!cell.connected) return;
    for (const { processGuid, index, domain, instanceGuid } of lrps) {
      const { ordinary, others } = this.state.slot(processGuid, index);
      const moves = others.some((row) => row.instanceGuid === instanceGuid && !row.retired);
      const leftAlone = ordinary
        ? ordinary.instanceGuid === instanceGuid || ordinary.state === ActualLrpState.UNCLAIMED || moves
        : !this.state.desiredLrps.has(processGuid) || !this.state.isFresh(domain, this.now);
      const told = cell.commands.some(
        (each) => each.kind === 'stop-lrp' && each.instance.instanceGuid === instanceGuid,
      );
      must(leftAlone || told, `cell ${cell.cellId} was not told to stop ${instanceGuid}`);
    }
    for (const { taskGuid, executionGuid } of tasks) {
      const task = this.state.tasks.get(taskGuid);
      const runs = task?.state === TaskState.RUNNING && task.executionGuid === executionGuid;
      const told = cell.commands.some((each) => each.kind === 'cancel-task' && each.executionGuid === executionGuid);
      must(runs || task?.state === TaskState.PENDING || told, `cell ${cell.cellId} was not told to cancel ${taskGuid}`);
    }
  }

  /** A cell takes an offer. */
  take(cell: ModelCell, offer: Effect): HeldInstance | HeldTask | undefined {
    if (offer.kind === 'auction-lrp') {
      const { processGuid, index } = offer;
      const domain = this.state.slot(processGuid, index).ordinary?.domain ?? 'd';
      const ref = { processGuid, index, domain, instanceGuid: this.name('i'), cellId: cell.cellId };
      const held: HeldInstance = { ref, phase: 'reserved', asked: false };
      cell.instances.set(ref.instanceGuid, held);
      return held;
    }
    if (offer.kind === 'auction-task') {
      const executionGuid = this.name('e');
      const held: HeldTask = { taskGuid: offer.taskGuid, executionGuid, phase: 'reserved', asked: false };
      cell.tasks.set(executionGuid, held);
      return held;
    }
    return undefined;
  }

  /** The cell reports the next thing about a piece of work; with the answer lost it will report the same again. */
  speak(cell: ModelCell, held: HeldInstance | HeldTask, answered: boolean): void {
    const statement = 'ref' in held ? nextOfInstance(held) : nextOfTask(held);
    const accepted = this.say(cell, statement);
    held.asked = !answered;
    if (!answered) return;
    const ends = !accepted || !['claim', 'run', 'start'].includes(statement.kind);
    if ('ref' in held) {
      if (ends) cell.instances.delete(held.ref.instanceGuid);
      else held.phase = statement.kind === 'claim' ? 'claimed' : 'running';
    } else if (ends) cell.tasks.delete(held.executionGuid);
    else held.phase = 'started';
  }

  /** A statement reaches the BBS. @returns whether it was accepted */
  say(cell: ModelCell, statement: Statement): boolean {
    cell.said.push(statement);
    if (cell.said.length > REMEMBERED) cell.said.shift();
    const { cellId } = cell;
    switch (statement.kind) {
      case 'claim':
        return this.try((draft) => {
          const declined = declineWhileDraining(draft, statement.ref);
          if (declined) throw declined;
          claimActualLrp(draft, statement.ref);
        });
      case 'run': {
        const { ref, routable = true } = statement;
        const accepted = this.try((draft) => runActualLrp(draft, ref, { ...RUNNING_FACTS, routable }));
        const desired = this.state.desiredLrps.get(ref.processGuid);
        const { ordinary } = this.state.slot(ref.processGuid, ref.index);
        if (accepted && ordinary?.instanceGuid === ref.instanceGuid && !ordinary.retired && !this.isWanted(ref)) {
          const surplus = desired !== undefined && this.state.isFresh(ref.domain, this.now);
          must(
            !surplus || this.orphans.has(ref.instanceGuid),
            `${ref.instanceGuid} runs although its LRP does not want it`,
          );
          this.orphans.add(ref.instanceGuid);
        }
        return accepted;
      }
      case 'crash':
        return this.try((draft) => crashActualLrp(draft, statement.ref, 'Exited with status 1'));
      case 'remove':
        return this.try((draft) => removeActualLrp(draft, statement.ref));
      case 'start': {
        const { taskGuid, executionGuid } = statement;
        const accepted = this.try((draft) => startTask(draft, taskGuid, cellId, executionGuid));
        if (!accepted) return false;
        const other = this.starts.get(taskGuid);
        must(
          other === undefined || other === executionGuid,
          `task ${taskGuid} is run by ${other} and by ${executionGuid}`,
        );
        this.starts.set(taskGuid, executionGuid);
        return true;
      }
      case 'reject': {
        const { taskGuid, executionGuid } = statement;
        const accepted = this.try((draft) => rejectTask(draft, taskGuid, 'no such image', { cellId, executionGuid }));
        if (accepted && this.starts.get(taskGuid) === executionGuid) this.starts.delete(taskGuid);
        return accepted;
      }
      case 'complete': {
        const { taskGuid, executionGuid } = statement;
        const outcome = { failed: false, failureReason: '', result: executionGuid };
        return this.try((draft) => completeTask(draft, taskGuid, { cellId, executionGuid }, outcome));
      }
    }
  }

  /** Does what it was told first. */
  obey(cell: ModelCell): void {
    const command = cell.commands.shift();
    if (command?.kind === 'stop-lrp') {
      const { instance } = command;
      const held = cell.instances.get(instance.instanceGuid);
      if (held) held.phase = 'stopped';
      else this.say(cell, { kind: 'remove', ref: { ...instance } });
    } else if (command?.kind === 'cancel-task') cell.tasks.delete(command.executionGuid);
  }

  /** A watcher begins here. */
  startWatching(): void {
    this.watcher = new WatcherModel(this.state);
  }

  /** Everything that holds after each command. */
  check(): void {
    const { state } = this;
    checkIndexes(
      state,
      this.cells.map(({ cellId }) => cellId),
    );
    checkDue(state, this.now);
    checkRows(state);
    for (const guid of state.tasks.keys())
      must(this.payloads.has(`task-definition/${guid}`), `task ${guid} has no recipe`);
    for (const guid of state.desiredLrps.keys())
      must(this.payloads.has(`run-info/${guid}`), `LRP ${guid} has no recipe`);
    must(this.payloads.size === state.tasks.size + state.desiredLrps.size, 'recipes are left of what is gone');
    const rows = rowsOf(state);
    must(rows.size === this.known.size, `${rows.size} rows are there, the changes make ${this.known.size}`);
    for (const [key, row] of rows) {
      must(this.known.get(key) === row, `${key} is not what the changes make it`);
      if (!('generation' in row) || row.retired || this.isWanted(row)) continue;
      must(this.orphans.has(row.instanceGuid), `${actualLrpKey(row)} is not wanted and was not told to stop`);
    }
  }

  /** The watcher that began once has every record. */
  checkWatcher(): void {
    this.watcher.check(this.state);
  }

  isWanted({ processGuid, index }: { processGuid: string; index: number }): boolean {
    const desired = this.state.desiredLrps.get(processGuid);
    return desired !== undefined && index < desired.instances;
  }

  private see(change: RowChange): void {
    const [from, key] = keysOf(change);
    must(this.known.get(from) === change.before, `a change of ${from} begins with another row than there was`);
    if (from !== key) must(!this.known.has(key), `${from} becomes ${key}, which is there already`);
    this.known.delete(from);
    if (change.after !== undefined) this.known.set(key, change.after);
    this.watcher.take(change, this.now);
    const { before, after } = change;
    if (change.kind === 'task' && after === undefined) this.starts.delete((before as { guid: string }).guid);
    if (change.kind === 'cell' && change.after?.missing) {
      const cell = this.cells.find(({ cellId }) => cellId === change.after?.cellId);
      if (cell) cell.connected = false;
    }
    if (change.kind === 'actual-lrp' && change.before?.retired && change.after && !change.after.retired) {
      must(change.after.instanceGuid !== change.before.instanceGuid, `${key} was told to stop and then was not`);
    }
  }

  /** What is replaced is stopped only once its replacement runs, or is itself told to stop. */
  private checkStop({ instance, reason }: Extract<Effect, { kind: 'stop-lrp' }>): void {
    if (reason !== 'its replacement runs' && reason !== 'another instance has its slot') return;
    const { ordinary } = this.state.slot(instance.processGuid, instance.index);
    const replaced = ordinary?.state === ActualLrpState.RUNNING || ordinary?.retired || !this.isWanted(instance);
    must(replaced === true, `${instance.instanceGuid} is stopped and ${ordinary?.instanceGuid} does not run`);
  }

  /** Commands reach cells that are connected, and nobody else. */
  private dispatch(effect: Effect): void {
    if (effect.kind === 'stop-lrp') this.checkStop(effect);
    if (effect.kind === 'auction-lrp' || effect.kind === 'auction-task') this.offers.push(effect);
    const cellId =
      effect.kind === 'stop-lrp' ? effect.instance.cellId : effect.kind === 'cancel-task' ? effect.cellId : undefined;
    const cell = this.cells.find((each) => each.cellId === cellId);
    if (cell?.connected) cell.commands.push(effect);
  }
}

function nextOfInstance({ ref, phase }: HeldInstance): Statement {
  switch (phase) {
    case 'reserved':
      return { kind: 'claim', ref };
    case 'claimed':
    case 'running':
      return { kind: 'run', ref };
    case 'crashed':
      return { kind: 'crash', ref };
    case 'stopped':
      return { kind: 'remove', ref };
  }
}

function nextOfTask({ taskGuid, executionGuid, phase }: HeldTask): Statement {
  const kind = phase === 'ended' ? 'complete' : 'start';
  return { kind, taskGuid, executionGuid };
}
