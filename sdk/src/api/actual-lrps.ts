import type { ActualLrp } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import {
  GetActualLrpRequest,
  ListActualLrpsRequest,
  MoveActualLrpRequest,
  ActualLrpServiceService as methods,
  RetireActualLrpRequest,
} from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import type { CallOptions, Filter } from '../input.js';
import { paged } from '../transport/pages.js';
import type { Transport } from '../transport/transport.js';
import { type WaitForRunningOptions, waitForRunning } from './wait-for-running.js';

/** Which container is meant. */
export interface RetireOptions extends CallOptions {
  /** Only if the slot still has this container; absent: whichever it has, and then an attempt of unknown outcome is not repeated. */
  instanceGuid?: string | undefined;
}

/** Actual LRPs: the instances that are up, or on their way. */
export class ActualLrps {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Instances in order of process guid, index and presence. */
  list(filter: Filter<ListActualLrpsRequest> = {}, options?: CallOptions): AsyncIterable<ActualLrp> {
    return paged(async (pageToken) => {
      const request = ListActualLrpsRequest.fromPartial({ ...filter, pageToken });
      const page = await this.#transport.unary(methods.listActualLrps, request, { safety: 'repeatable' }, options);
      return { items: page.actualLrps, next: page.nextPageToken };
    });
  }

  /** The records of one slot: the ordinary one first, then evacuating and suspect ones. @throws NotFoundError */
  async get(processGuid: string, index: number, options?: CallOptions): Promise<ActualLrp[]> {
    const request = GetActualLrpRequest.fromPartial({ processGuid, index });
    const answer = await this.#transport.unary(methods.getActualLrp, request, { safety: 'repeatable' }, options);
    return answer.actualLrps;
  }

  /** Stops an instance; a new one takes its place while the LRP wants it. */
  async retire(processGuid: string, index: number, options: RetireOptions = {}): Promise<void> {
    const { instanceGuid = '' } = options;
    const request = RetireActualLrpRequest.fromPartial({ processGuid, index, instanceGuid });
    // Without the guid a repeat could stop the very instance that replaced the one meant.
    const safety = instanceGuid === '' ? 'once' : 'repeatable';
    await this.#transport.unary(methods.retireActualLrp, request, { safety }, options);
  }

  /**
   * Has a running instance run elsewhere; where is for the auction to say. It is stopped once its replacement runs, that of a RECREATE
   * LRP before. Resolves as soon as the replacement is wanted.
   * @throws FailedPreconditionError when it can not be moved now, with the reason
   */
  async move(processGuid: string, index: number, instanceGuid: string, options: CallOptions = {}): Promise<void> {
    const request = MoveActualLrpRequest.fromPartial({ processGuid, index, instanceGuid });
    // A repeat of a move that was made is refused, which would hide that it was made.
    await this.#transport.unary(methods.moveActualLrp, request, { safety: 'once' }, options);
  }

  /**
   * Resolves with the instances once as many run as wanted: `instances`, else what the desired LRP asks for at the time.
   * @throws NotFoundError when there is no such LRP, or it is removed meanwhile.
   * @throws DeadlineExceededError after `timeoutMs`, 10 minutes unless given.
   */
  waitForRunning(processGuid: string, options?: WaitForRunningOptions): Promise<ActualLrp[]> {
    return waitForRunning(this.#transport, processGuid, options);
  }
}
