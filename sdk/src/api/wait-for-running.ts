import { type ActualLrp, ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import { NotFoundError } from '../errors.js';
import type { Transport } from '../transport/transport.js';
import { type WaitOptions, within } from './waiting.js';
import { type WatchItem, watch } from './watch.js';

/** How far an LRP has come. */
export interface RunningProgress {
  /** Slots with a running instance. */
  readonly running: number;
  /** Slots that are waited for. */
  readonly wanted: number;
  /** All records of the LRP, in order of index; those that wait say why in `placementError`, those that crashed in `crashReason`. */
  readonly instances: readonly ActualLrp[];
}

/** What to wait for. */
export interface WaitForRunningOptions extends WaitOptions {
  /** Running instances to wait for; default: what the desired LRP asks for. */
  instances?: number | undefined;
  /** Called with every change; to give up on what it shows, abort the signal. */
  onProgress?: ((progress: RunningProgress) => void) | undefined;
}

/** Follows one LRP with a watch until enough of it runs. */
export function waitForRunning(
  transport: Transport,
  processGuid: string,
  options: WaitForRunningOptions = {},
): Promise<ActualLrp[]> {
  return within(`instances of ${processGuid} running`, options, async (signal) => {
    const view = new LrpView(options.instances);
    const kinds = [EventKind.DESIRED_LRP, EventKind.ACTUAL_LRP];
    const wanted = { snapshot: true, processGuids: [processGuid], kinds, signal };
    for await (const item of watch(transport, wanted, 'for ever')) {
      view.take(item);
      if (!view.whole) continue;
      if (!view.desired) throw missing(processGuid);
      const progress = view.progress();
      options.onProgress?.(progress);
      if (progress.running >= progress.wanted) return view.running();
    }
    throw missing(processGuid);
  });
}

function missing(name: string): NotFoundError {
  return new NotFoundError({
    message: `there is no desired LRP ${name}`,
    reason: 'DESIRED_LRP_NOT_FOUND',
    resource: { type: 'desired_lrp', name },
  });
}

/** One LRP and its instances, kept up to date by a watch. */
export class LrpView {
  /** Whether the snapshot is complete. */
  whole = false;
  desired: DesiredLrp | undefined;
  readonly #instances = new Map<string, ActualLrp>();
  readonly #wanted: number | undefined;

  constructor(wanted?: number) {
    this.#wanted = wanted;
  }

  take(item: WatchItem): void {
    switch (item.kind) {
      case 'reset':
        this.whole = false;
        this.desired = undefined;
        this.#instances.clear();
        break;
      case 'snapshot-complete':
        this.whole = true;
        break;
      case 'snapshot':
        if (item.record.record?.$case === 'desiredLrp') this.desired = item.record.record.value;
        if (item.record.record?.$case === 'actualLrp') this.#put(item.record.record.value);
        break;
      case 'event':
        this.#apply(item.event.event);
        break;
    }
  }

  #apply(event: Extract<WatchItem, { kind: 'event' }>['event']['event']): void {
    switch (event?.$case) {
      case 'desiredLrpCreated':
        this.desired = event.value.desiredLrp;
        break;
      case 'desiredLrpChanged':
        this.desired = event.value.after;
        break;
      case 'desiredLrpRemoved':
        this.desired = undefined;
        break;
      case 'actualLrpCreated':
        this.#put(event.value.actualLrp);
        break;
      case 'actualLrpChanged':
        // The part that a record plays for its slot can change, and with it where the record is kept here.
        if (event.value.before) this.#instances.delete(slotOf(event.value.before));
        this.#put(event.value.after);
        break;
      case 'actualLrpRemoved':
        if (event.value.actualLrp) this.#instances.delete(slotOf(event.value.actualLrp));
        break;
    }
  }

  #put(lrp: ActualLrp | undefined): void {
    if (lrp) this.#instances.set(slotOf(lrp), lrp);
  }

  progress(): RunningProgress {
    const instances = [...this.#instances.values()].sort((a, b) => indexOf(a) - indexOf(b));
    const wanted = this.#wanted ?? this.desired?.instances ?? 0;
    return { running: this.running().length, wanted, instances };
  }

  /** One running record a slot, the ordinary one where there are several, in order of index. */
  running(): ActualLrp[] {
    const slots = new Map<number, ActualLrp>();
    for (const lrp of this.#instances.values()) {
      if (lrp.state !== ActualLrpState.RUNNING) continue;
      if (!slots.has(indexOf(lrp)) || lrp.presence === ActualLrpPresence.ORDINARY) slots.set(indexOf(lrp), lrp);
    }
    return [...slots.values()].sort((a, b) => indexOf(a) - indexOf(b));
  }
}

function indexOf(lrp: ActualLrp): number {
  return lrp.key?.index ?? 0;
}

/** Names a record: a slot has an ordinary one, and one for each container that is being replaced. */
function slotOf(lrp: ActualLrp): string {
  const generation = lrp.presence === ActualLrpPresence.ORDINARY ? '' : lrp.instanceGuid;
  return `${indexOf(lrp)}/${generation}`;
}
