import { DesiredLrp, type DesiredLrpUpdate, DesiredLrpView } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import {
  DesireLrpRequest,
  DesireLrpsRequest,
  type DesireLrpsResponse,
  GetDesiredLrpRequest,
  ListDesiredLrpsRequest,
  DesiredLrpServiceService as methods,
  RemoveDesiredLrpRequest,
  UpdateDesiredLrpRequest,
} from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { AbortedError, NotFoundError } from '../errors.js';
import type { CallOptions, Filter, Input } from '../input.js';
import { paged } from '../transport/pages.js';
import type { Transport } from '../transport/transport.js';
import { type Items, type ManyMethod, type ManyResult, sendMany } from './many.js';
import { present } from './present.js';

/** When an update applies. */
export interface UpdateOptions extends CallOptions {
  /** Only if the record still has this modification index; unset: whatever it has, and the last writer wins. */
  ifIndex?: number | undefined;
}

/** What became of one of many LRPs. */
export interface DesireManyResult extends ManyResult {
  readonly processGuid: string;
}

const DESIRE_MANY: ManyMethod<Input<DesiredLrp>, DesireLrpsRequest, DesireLrpsResponse, DesireManyResult> = {
  method: methods.desireLrps,
  request: (lrp, sequence) => DesireLrpsRequest.fromPartial({ sequence, desiredLrp: DesiredLrp.fromPartial(lrp) }),
  result: ({ request, error }) => ({
    index: request.sequence,
    processGuid: request.desiredLrp?.processGuid ?? '',
    error,
  }),
};

/** Desired LRPs: what should be up. */
export class DesiredLrps {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Asks for an LRP; resolves once it is durable, with the scheduling view. Repeating the same request succeeds, so it is retried.
   * @throws AlreadyExistsError when the guid names an LRP with other content.
   */
  async desire(lrp: Input<DesiredLrp>, options?: CallOptions): Promise<DesiredLrp> {
    const request = DesireLrpRequest.fromPartial({ desiredLrp: DesiredLrp.fromPartial(lrp) });
    const answer = await this.#transport.unary(methods.desireLrp, request, { safety: 'repeatable' }, options);
    return present(answer.desiredLrp, 'desired LRP');
  }

  /** Asks for many LRPs over one stream. Yields one result an item; a refused item does not stop the rest. */
  desireMany(lrps: Items<Input<DesiredLrp>>, options?: Pick<CallOptions, 'signal'>): AsyncIterable<DesireManyResult> {
    return sendMany(this.#transport, DESIRE_MANY, { ...options, items: lrps });
  }

  /**
   * Changes what may change; the rest stays. An update without `ifIndex` sets values, so it is retried. With it, a repeat
   * that finds the record one version on and with the values it wanted takes the attempt of unknown outcome to have done it.
   * @throws AbortedError when `ifIndex` does not match.
   */
  async update(processGuid: string, update: Input<DesiredLrpUpdate>, options: UpdateOptions = {}): Promise<DesiredLrp> {
    const { ifIndex } = options;
    const request = UpdateDesiredLrpRequest.fromPartial({
      processGuid,
      update,
      ...(ifIndex !== undefined && { ifIndex }),
    });
    const afterDoubt = async (decision: unknown) => {
      if (!(decision instanceof AbortedError) || ifIndex === undefined) return undefined;
      const desiredLrp = await this.get(processGuid, DesiredLrpView.FULL, options);
      const next = desiredLrp.modificationTag?.index === ifIndex + 1;
      return next && shows(desiredLrp, request.update) ? { desiredLrp } : undefined;
    };
    const policy = { safety: 'repeatable', afterDoubt } as const;
    const answer = await this.#transport.unary(methods.updateDesiredLrp, request, policy, options);
    return present(answer.desiredLrp, 'desired LRP');
  }

  /**
   * Forgets the LRP; its instances stop. A repeat that no longer finds it, after an attempt of unknown outcome, has succeeded.
   * @throws NotFoundError
   */
  async remove(processGuid: string, options?: CallOptions): Promise<void> {
    const afterDoubt = (decision: unknown) => (decision instanceof NotFoundError ? {} : undefined);
    const policy = { safety: 'repeatable', afterDoubt } as const;
    const request = RemoveDesiredLrpRequest.fromPartial({ processGuid });
    await this.#transport.unary(methods.removeDesiredLrp, request, policy, options);
  }

  /** One LRP, whole unless another view is asked for. @throws NotFoundError */
  async get(
    processGuid: string,
    view: DesiredLrpView = DesiredLrpView.FULL,
    options?: CallOptions,
  ): Promise<DesiredLrp> {
    const request = GetDesiredLrpRequest.fromPartial({ processGuid, view });
    const answer = await this.#transport.unary(methods.getDesiredLrp, request, { safety: 'repeatable' }, options);
    return present(answer.desiredLrp, 'desired LRP');
  }

  /** LRPs in order of process guid, in the scheduling view unless another is asked for. */
  list(filter: Filter<ListDesiredLrpsRequest> = {}, options?: CallOptions): AsyncIterable<DesiredLrp> {
    return paged(async (pageToken) => {
      const request = ListDesiredLrpsRequest.fromPartial({ ...filter, pageToken });
      const page = await this.#transport.unary(methods.listDesiredLrps, request, { safety: 'repeatable' }, options);
      return { items: page.desiredLrps, next: page.nextPageToken };
    });
  }
}

/** Whether a record shows the values that an update set, as far as records show them: passwords are not sent. */
function shows(lrp: DesiredLrp, update: DesiredLrpUpdate | undefined): boolean {
  if (update === undefined) return false;
  const equal = (a: unknown, b: unknown) => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
  return (
    (update.instances === undefined || update.instances === lrp.instances) &&
    (update.annotation === undefined || update.annotation === lrp.annotation) &&
    (update.routes === undefined || equal(update.routes.routes, lrp.routes)) &&
    (update.metricTags === undefined || equal(update.metricTags.tags, lrp.container?.metricTags ?? {})) &&
    (update.imageUsername === undefined || update.imageUsername === lrp.container?.imageUsername)
  );
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .filter(([key]) => key !== '_unknownFields')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => [key, sorted(inner)]);
}
