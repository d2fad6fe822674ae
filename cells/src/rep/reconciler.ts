import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { TransitionAck } from '@rivera/gen/rivera/bbs/v1/session_service';
import type { Clock } from '@rivera/kit/clock';
import { failpoint } from '@rivera/kit/failpoint';
import type { Logger } from '@rivera/kit/log';
import type { ContainerRecord, Executor } from '../executor/executor.js';
import { ExecutorError } from '../executor/executor.js';
import {
  decideLrp,
  decideTask,
  isFirst,
  judge,
  type KnownLrp,
  type KnownTask,
  lrpStandingAfter,
  type RunFailure,
  type TaskStep,
  taskStandingAfter,
} from './decide.js';
import { HeldWork } from './held-work.js';
import { Outbox } from './outbox.js';
import { Retries } from './retries.js';
import { DefinitionError, lrpRunRequest, taskRunRequest } from './run-request.js';
import { taskCompletion } from './task-result.js';
import { type LrpReport, lrpTransition, type TaskReport, taskTransition } from './transitions.js';
import { type LrpInstance, type TaskExecution, type Work, workOf } from './work.js';

/** One piece of work and what is going on about it: at most one report to the BBS and one executor call at a time. */
type Item = {
  readonly guid: string;
  /** A call to the executor, or the reading of a result, is under way. */
  busy: boolean;
  /** The report that waits for its answer. */
  asked: boolean;
} & (
  | { readonly work: LrpInstance; readonly known: KnownLrp }
  | { readonly work: TaskExecution; readonly known: KnownTask; resultFile: string }
);
type LrpItem = Extract<Item, { work: LrpInstance }>;
type TaskItem = Extract<Item, { work: TaskExecution }>;

/** What an answer is about. */
export type ReportSubject = { readonly guid: string } & (
  | { readonly step: LrpReport['do']; readonly container: ContainerRecord | undefined }
  | { readonly step: TaskReport['do'] }
);

/** Most pieces of work, of which those without a container are bounded by nothing else. */
const MAX_ITEMS = 50_000;

export interface ReconcilerOptions {
  executor: Executor;
  clock: Clock;
  logger: Logger;
}

/**
 * Brings the containers of this cell and what the BBS holds of them together. Level-triggered: an event, an answer or a
 * command only marks a piece of work; once a turn of the event loop every marked one is looked at afresh, `decide.ts` says
 * what is next, and that is done. So a burst of changes costs one report, and at most one report per piece is ever pending.
 */
export class Reconciler {
  readonly held = new HeldWork();
  readonly outbox = new Outbox<ReportSubject>();
  readonly #executor: Executor;
  readonly #log: Logger;
  readonly #items = new Map<string, Item>();
  readonly #marked = new Set<string>();
  readonly #retries: Retries;
  #turn: NodeJS.Immediate | undefined;
  #unsubscribe: (() => void) | undefined;
  #onEmpty: (() => void)[] = [];
  #closed = false;

  constructor(options: ReconcilerOptions) {
    this.#executor = options.executor;
    this.#retries = new Retries(options.clock, (guid) => this.#mark(guid));
    this.#log = options.logger;
  }

  get size(): number {
    return this.#items.size;
  }

  /** Takes over what the executor has and follows it from now on. */
  start(): void {
    this.#unsubscribe = this.#executor.subscribe((event) => this.#observe(event.container));
    for (const container of this.#executor.list()) this.#adopt(container);
  }

  /** Leaves everything as it is. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe?.();
    this.#retries.close();
    clearImmediate(this.#turn);
    for (const resolve of this.#onEmpty.splice(0)) resolve();
  }

  /** Resolves when no work is left, or at close. */
  empty(): Promise<void> {
    if (this.#items.size === 0 || this.#closed) return Promise.resolve();
    return new Promise((resolve) => this.#onEmpty.push(resolve));
  }

  /** Claims and starts without a final answer: sent on the open stream, or to be sent again as their outcome is open. */
  *asked(): Iterable<{ guid: string; work: Work }> {
    for (const { subject } of this.outbox.sent()) {
      const item = subject.step === 'claim' || subject.step === 'start' ? this.#items.get(subject.guid) : undefined;
      if (item) yield { guid: item.guid, work: item.work };
    }
    for (const guid of this.#retries) {
      const item = this.#items.get(guid);
      if (item?.known.standing === 'unknown' && !item.asked) yield { guid, work: item.work };
    }
  }

  /** Takes the BBS's answer to a report. */
  answered(ack: TransitionAck): void {
    const pending = this.outbox.settle(ack.sequence);
    const item = pending && this.#items.get(pending.subject.guid);
    if (!pending || !item) return;
    item.asked = false;
    const verdict = judge(ack.code);
    if (verdict === 'again') {
      this.#log.debug({ guid: item.guid, step: pending.subject.step, reason: ack.reason }, 'report not taken yet');
      this.#retries.add(item.guid);
      return;
    }
    this.#retries.succeeded();
    item.known.repeat = false;
    if (verdict !== 'accepted') {
      const { reason, message } = ack;
      this.#log.warn({ guid: item.guid, step: pending.subject.step, reason, detail: message }, 'report refused');
    }
    if (isLrp(item)) this.#lrpAnswered(item, pending.subject, ack);
    else this.#taskAnswered(item, pending.subject, ack);
    this.#mark(item.guid);
  }

  /**
   * Has everything that the BBS ever acknowledged said to it again, at the cost of one small report each: while it did not hear of
   * this cell it may have given work up, and only who says again that it is here gets it back. What is unanswered is
   * not said twice. Containers that ended are reported as ended.
   */
  repeatAll(): void {
    for (const { guid, known } of this.#items.values()) {
      if (known.standing === 'unknown' || known.standing === 'released') continue;
      known.repeat = true;
      this.#mark(guid);
    }
  }

  /** Stops an instance; one that is not here is reported as removed, so that the BBS forgets it. */
  stopLrp(work: LrpInstance, reason: string): void {
    const guid = work.instanceGuid;
    if (this.#executor.get(guid)) {
      this.#log.info({ guid, reason }, 'stopping instance');
      this.#executor.stop(guid).catch((error: unknown) => this.#stopFailed(guid, error));
    } else if (!this.#items.has(guid) && this.#items.size < MAX_ITEMS) {
      this.#items.set(guid, { guid, work, known: { standing: 'claimed' }, busy: false, asked: false });
      this.#mark(guid);
    }
  }

  /** Deletes a Task's containers; the BBS holds the Task as ended already. */
  cancelTask(taskGuid: string, executionGuid: string): void {
    const candidates = executionGuid === '' ? this.#items.values() : [this.#items.get(executionGuid)];
    for (const item of candidates) {
      if (item === undefined || isLrp(item) || item.work.taskGuid !== taskGuid) continue;
      item.known.standing = 'released';
      this.held.release(item.guid);
      this.#mark(item.guid);
    }
  }

  /** Changes what an instance is known by; the change comes back as an event and is announced. */
  updateLrp(guid: string, update: { internalRoutes: string[]; metricTags: Record<string, string> }): void {
    this.#executor.update(guid, update).catch((error: unknown) => {
      if (!isKind(error, 'not-found')) this.#log.error({ guid, err: error }, 'could not update instance');
    });
  }

  /** Stops every container gracefully; what becomes of them is reported. */
  stopAll(): void {
    for (const container of this.#executor.list()) {
      this.#executor.stop(container.guid).catch((error: unknown) => this.#stopFailed(container.guid, error));
    }
  }

  #adopt(container: ContainerRecord): void {
    const item = this.#observe(container);
    if (item === undefined || container.state === 'reserved') return;
    item.known.standing = 'presumed';
    // Of one that has ended nobody here knows how far the BBS had heard; it ends on the way of what it had become.
    const wasUp = container.state === 'running' || (container.state === 'completed' && container.network !== undefined);
    this.held.hold(item.guid, item.work, wasUp ? ActualLrpState.RUNNING : ActualLrpState.CLAIMED);
  }

  #observe(container: ContainerRecord): Item | undefined {
    const { guid } = container;
    let item = this.#items.get(guid);
    if (item === undefined && this.#executor.get(guid)) {
      const work = workOf(container);
      if (work === undefined) {
        this.#log.warn({ guid, tags: container.tags }, 'container has no work that is known; it is left alone');
        return undefined;
      }
      const rest = { guid, busy: false, asked: false };
      item =
        work.kind === 'lrp'
          ? { ...rest, work, known: { standing: 'unknown' } }
          : { ...rest, work, known: { standing: 'unknown' }, resultFile: '' };
      this.#items.set(guid, item);
    }
    if (item) this.#mark(guid);
    return item;
  }

  #mark(guid: string): void {
    this.#marked.add(guid);
    if (this.#turn === undefined && !this.#closed) this.#turn = setImmediate(() => this.#look());
  }

  #look(): void {
    this.#turn = undefined;
    const marked = [...this.#marked];
    this.#marked.clear();
    for (const guid of marked) {
      const item = this.#items.get(guid);
      if (item) this.#act(item);
    }
    if (this.#items.size === 0) for (const resolve of this.#onEmpty.splice(0)) resolve();
  }

  #act(item: Item): void {
    // Work that was given up is deleted even while an answer is out: the answer can't change that any more.
    if (item.busy || (item.asked && item.known.standing !== 'released')) return;
    const container = this.#executor.get(item.guid);
    if (isLrp(item)) this.#actLrp(item, container);
    else this.#actTask(item, container);
  }

  #actLrp(item: LrpItem, container: ContainerRecord | undefined): void {
    const step = decideLrp(container, item.known);
    switch (step.do) {
      case 'wait':
        return;
      case 'claim':
      case 'announce':
      case 'crash':
      case 'remove':
        item.asked = true;
        this.outbox.add(lrpTransition(step, item.work, container), { guid: item.guid, step: step.do, container });
        return;
      case 'delete':
        this.#delete(item);
        return;
      case 'forget':
        this.#forget(item);
        return;
    }
  }

  #actTask(item: TaskItem, container: ContainerRecord | undefined): void {
    const step = decideTask(container, item.known);
    switch (step.do) {
      case 'wait':
        return;
      case 'start':
      case 'reject':
        item.asked = true;
        this.outbox.add(taskTransition(step, item.work), { guid: item.guid, step: step.do });
        return;
      case 'complete':
        this.#complete(item, step);
        return;
      case 'delete':
        this.#delete(item);
        return;
      case 'forget':
        this.#forget(item);
        return;
    }
  }

  #complete(item: TaskItem, step: Extract<TaskStep, { do: 'complete' }>): void {
    const subject: ReportSubject = { guid: item.guid, step: 'complete' };
    const { result } = step;
    if (result === undefined) {
      item.asked = true;
      this.outbox.add(taskTransition(step, item.work), subject);
      return;
    }
    const readFile = (path: string, maxBytes: number) => this.#executor.readFile(item.guid, path, maxBytes);
    this.#during(item, async () => {
      const { completed, readError } = await taskCompletion(item.work, result, item.resultFile, readFile);
      if (readError !== undefined) {
        if (isKind(readError, 'closed')) return;
        this.#log.warn({ guid: item.guid, path: item.resultFile, err: readError }, 'no result file');
      }
      if (item.known.standing === 'released') return;
      item.asked = true;
      this.outbox.add({ $case: 'taskCompleted', value: completed }, subject);
    });
  }

  #lrpAnswered(item: LrpItem, subject: ReportSubject, ack: TransitionAck): void {
    if (subject.step === 'start' || subject.step === 'reject' || subject.step === 'complete') return;
    const before = item.known.standing;
    item.known.standing = lrpStandingAfter(subject.step, judge(ack.code), before);
    switch (item.known.standing) {
      case 'claimed':
        this.held.hold(item.guid, item.work, ActualLrpState.CLAIMED);
        break;
      case 'running':
        this.held.hold(item.guid, item.work, ActualLrpState.RUNNING);
        break;
      case 'released':
        this.held.release(item.guid);
        return;
      case 'unknown':
      case 'presumed':
        break;
    }
    if (subject.step === 'announce') item.known.announced = subject.container;
    if (subject.step !== 'claim' || !isFirst(before) || this.#executor.get(item.guid)?.state !== 'reserved') return;
    this.#run(item, () => {
      if (ack.desiredLrp === undefined) throw new DefinitionError('the claim was answered without a definition');
      return lrpRunRequest(ack.desiredLrp, item.work);
    });
  }

  #taskAnswered(item: TaskItem, subject: ReportSubject, ack: TransitionAck): void {
    if (subject.step !== 'start' && subject.step !== 'reject' && subject.step !== 'complete') return;
    failpoint(`cell.task-${subject.step}-acknowledged`);
    const answer = { verdict: judge(ack.code), shouldStart: ack.shouldStart };
    const before = item.known.standing;
    item.known.standing = taskStandingAfter(subject.step, answer, before);
    if (item.known.standing === 'released') {
      this.held.release(item.guid);
      return;
    }
    if (subject.step !== 'start') return;
    this.held.hold(item.guid, item.work, ActualLrpState.RUNNING);
    if (!isFirst(before)) return;
    item.resultFile = ack.taskDefinition?.resultFile ?? '';
    if (this.#executor.get(item.guid)?.state !== 'reserved') return;
    this.#run(item, () => {
      if (ack.taskDefinition === undefined) throw new DefinitionError('the start was answered without a definition');
      return taskRunRequest(ack.taskDefinition, item.work);
    });
  }

  #run(item: Item, makeRequest: () => Parameters<Executor['run']>[1]): void {
    const failed = (kind: RunFailure['kind'], error: unknown): void => {
      this.#log.error({ guid: item.guid, err: error }, 'could not run container');
      item.known.runFailure = { kind, reason: error instanceof Error ? error.message : String(error) };
    };
    try {
      const request = makeRequest();
      this.#during(item, () =>
        this.#executor.run(item.guid, request).catch((error: unknown) => {
          if (!isKind(error, 'closed')) failed('refused', error);
        }),
      );
    } catch (error) {
      if (!(error instanceof DefinitionError)) throw error;
      failed('definition', error);
    }
  }

  #delete(item: Item): void {
    this.#during(item, () => this.#executor.delete(item.guid));
  }

  #forget(item: Item): void {
    this.held.release(item.guid);
    this.#items.delete(item.guid);
  }

  /** Does something that takes time; meanwhile nothing else is done about the item, afterwards it is looked at again. */
  #during(item: Item, work: () => Promise<void>): void {
    item.busy = true;
    work().then(
      () => {
        item.busy = false;
        this.#mark(item.guid);
      },
      (error: unknown) => {
        item.busy = false;
        if (this.#closed || isKind(error, 'closed')) return;
        this.#log.error({ guid: item.guid, err: error }, 'container call failed; it is tried again');
        this.#retries.add(item.guid);
      },
    );
  }

  #stopFailed(guid: string, error: unknown): void {
    if (isKind(error, 'not-found') || isKind(error, 'closed')) return;
    this.#log.error({ guid, err: error }, 'could not stop container');
  }
}

function isLrp(item: Item): item is LrpItem {
  return item.work.kind === 'lrp';
}

function isKind(error: unknown, kind: ExecutorError['kind']): boolean {
  return error instanceof ExecutorError && error.kind === kind;
}
