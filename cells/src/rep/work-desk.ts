import type { Work, WorkAnswer, WorkItem } from '@rivera/gen/rivera/auction/v1/bid_service';
import { failpoint } from '@rivera/kit/failpoint';
import type { Logger } from '@rivera/kit/log';
import type { ContainerRecord, Executor } from '../executor/executor.js';
import { ExecutorError } from '../executor/executor.js';
import type { EpochFile } from './epoch-file.js';
import { type Work as CellWork, tagsOf } from './work.js';

/** Answers that are remembered, so that work which is sent twice is done once. */
const REMEMBERED_ANSWERS = 20_000;

/** An instance guid is cut to what fits the log prefix of a firewall rule (spec cell §5). */
const INSTANCE_GUID_LENGTH = 28;

export interface WorkDeskOptions {
  cellId: string;
  executor: Executor;
  epochs: Pick<EpochFile, 'admit' | 'highest'>;
  logger: Logger;
  /** A random UUID. */
  newGuid: () => string;
  evacuating: () => boolean;
  /** Why this cell can run nothing; undefined while it can. */
  broken?: (() => string | undefined) | undefined;
}

/** What was set aside, and for which assignment. */
export interface TakenWork {
  workId: string;
  container: ContainerRecord;
}

/** Where work arrives: it is checked and resources are set aside, or it is sent back with the reason (spec cell §5). */
export class WorkDesk {
  readonly #options: WorkDeskOptions;
  readonly #answers = new Map<string, WorkAnswer>();

  constructor(options: WorkDeskOptions) {
    this.#options = options;
  }

  /** One answer an item, in the order of the items. */
  async receive(work: Work): Promise<{ answers: WorkAnswer[]; taken: TakenWork[] }> {
    const { cellId, epochs, evacuating } = this.#options;
    if (work.cellId !== cellId)
      return refuseAll(work, `CELL_MISMATCH: work is for cell ${work.cellId}, this is ${cellId}`);
    if (!(await epochs.admit(work.epoch))) {
      return refuseAll(work, `STALE_EPOCH: epoch ${work.epoch} is over, ${epochs.highest} was seen`);
    }
    failpoint('cell.work-received');
    const answers = new Map<string, WorkAnswer>();
    const taken: TakenWork[] = [];
    for (const item of inOrder(work.items)) {
      let answer = this.#answers.get(item.workId);
      if (answer === undefined) {
        const broken = this.#options.broken?.();
        if (evacuating()) answer = refusal(item, 'EVACUATING: the cell is being drained');
        else if (broken !== undefined) answer = refusal(item, `UNHEALTHY: the cell's runtime is broken: ${broken}`);
        else answer = this.#reserve(item, taken);
        this.#remember(answer);
      }
      answers.set(item.workId, answer);
    }
    return { answers: work.items.map((item) => answers.get(item.workId) ?? refusal(item, 'INTERNAL')), taken };
  }

  #reserve(item: WorkItem, taken: TakenWork[]): WorkAnswer {
    const { executor, logger } = this.#options;
    const work = this.#identify(item);
    const { requirements } = item;
    if (work === undefined || requirements === undefined) {
      return refusal(item, 'INVALID_REQUEST: the item names no work or no requirements');
    }
    const guid = work.kind === 'lrp' ? work.instanceGuid : work.executionGuid;
    const { memoryMb, diskMb, rootFs } = requirements;
    try {
      const container = executor.reserve({ guid, memoryMb, diskMb, rootFs, tags: tagsOf(work) });
      taken.push({ workId: item.workId, container });
      return { workId: item.workId, accepted: true, reason: '' };
    } catch (error) {
      if (!(error instanceof ExecutorError)) throw error;
      logger.info({ workId: item.workId, reason: error.message }, 'work refused');
      return refusal(item, `${reasonKind(error)}: ${error.message}`);
    }
  }

  #identify({ domain, work }: WorkItem): CellWork | undefined {
    const guid = this.#options.newGuid();
    switch (work?.$case) {
      case 'lrp': {
        const { processGuid, index } = work.value;
        return { kind: 'lrp', key: { processGuid, index, domain }, instanceGuid: guid.slice(0, INSTANCE_GUID_LENGTH) };
      }
      case 'task':
        return { kind: 'task', taskGuid: work.value.taskGuid, executionGuid: guid, domain };
      case undefined:
        return undefined;
    }
  }

  #remember(answer: WorkAnswer): void {
    this.#answers.set(answer.workId, answer);
    if (this.#answers.size <= REMEMBERED_ANSWERS) return;
    const [oldest] = this.#answers.keys();
    if (oldest !== undefined) this.#answers.delete(oldest);
  }
}

/** LRPs before Tasks, and the largest LRPs first, so that a small one does not take the room that a large one was sent for. */
function inOrder(items: WorkItem[]): WorkItem[] {
  const lrps = items.filter((item) => item.work?.$case === 'lrp');
  const memoryOf = (item: WorkItem): number => item.requirements?.memoryMb ?? 0;
  lrps.sort((a, b) => memoryOf(b) - memoryOf(a));
  return [...lrps, ...items.filter((item) => item.work?.$case !== 'lrp')];
}

function refuseAll(work: Work, reason: string): { answers: WorkAnswer[]; taken: TakenWork[] } {
  return { answers: work.items.map((item) => refusal(item, reason)), taken: [] };
}

function refusal(item: WorkItem, reason: string): WorkAnswer {
  return { workId: item.workId, accepted: false, reason };
}

function reasonKind(error: ExecutorError): string {
  switch (error.kind) {
    case 'insufficient-resources':
      return 'INSUFFICIENT_RESOURCES';
    case 'unknown-rootfs':
      return 'ROOT_FS';
    case 'closed':
      return 'SHUTTING_DOWN';
    default:
      return 'REFUSED';
  }
}
