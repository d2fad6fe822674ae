import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import type { RowChange } from './core/draft.js';
import { actualLrpKey } from './core/model.js';
import type { Policy } from './core/policy.js';
import { PreparedState } from './engine/prepared-state.js';
import { type ActualLrpKeyParts, type ChangedKeys, MAX_CHANGED_ROWS } from './journal/handover.js';
import type { Journal } from './journal/journal.js';
import type { ChangeLog } from './watch/change-log.js';

/** How long a leader that ends looks for somebody who wants to follow it. */
const ANSWER_MS = 1_000;
/** How long it goes on serving while the follower reads. */
const PREPARATION_MS = 20_000;
const LOOK_EVERY_MS = 50;
/** How long a follower keeps what it has read, should somebody else lead after all: it is as large as a leader's state. */
const KEEP_MS = 60_000;

export interface HandingOverOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The leader's side of a hand-over in good order: it goes on serving until a follower has read everything. Nothing here can keep it
 * from ending: a follower that hears nothing reads everything by itself.
 */
export class HandingOver {
  private preparedRevision: number | undefined;

  constructor(
    private readonly options: HandingOverOptions,
    private readonly epoch: number,
  ) {}

  /** @param announce tells those who stand by that this server is about to end */
  async untilPrepared(announce: () => void): Promise<void> {
    const { journal, clock, log } = this.options;
    try {
      await journal.writeHandover({ epoch: this.epoch });
      announce();
      const startedAtMs = clock.now();
      for (let waitedMs = 0; waitedMs < PREPARATION_MS; waitedMs = clock.now() - startedAtMs) {
        await clock.sleep(LOOK_EVERY_MS);
        const handover = await journal.readHandover();
        if (handover?.epoch !== this.epoch) return;
        this.preparedRevision = handover.preparedRevision;
        if (this.preparedRevision !== undefined) {
          log.info({ waitedMs }, 'the server that follows has read the state');
          return;
        }
        if (handover.prepares !== true && waitedMs > ANSWER_MS) return;
      }
    } catch (error) {
      log.warn({ err: error }, 'the server that follows is not told: it reads everything by itself');
    }
  }

  /** Everything is durable, and nothing more will be written. */
  async ended(changes: ChangeLog): Promise<void> {
    const { preparedRevision, epoch } = this;
    if (preparedRevision === undefined) return;
    const { journal, log } = this.options;
    try {
      const changed = changedSince(changes, preparedRevision);
      if (changed === undefined) return;
      const end = { revision: changes.lastRevision, changed };
      await journal.writeHandover({ epoch, prepares: true, preparedRevision, end });
    } catch (error) {
      log.warn({ err: error }, 'the server that follows is not told what changed: it reads everything by itself');
    }
  }
}

/** The follower's side: reads everything when the leader is about to end. */
export class Following {
  private preparing: Promise<void> | undefined;
  private prepared: PreparedState | undefined;
  private cancelForgetting: () => void = () => {};

  constructor(
    private readonly options: HandingOverOptions,
    private readonly policy: Policy,
  ) {}

  /** The leader is about to end. Told again it does nothing more. */
  prepare(): void {
    this.preparing ??= this.read().finally(() => {
      this.preparing = undefined;
    });
  }

  /** What was read, once; the caller leads by now. */
  take(): PreparedState | undefined {
    const { prepared } = this;
    this.forget();
    return prepared;
  }

  forget(): void {
    this.cancelForgetting();
    this.prepared = undefined;
  }

  private async read(): Promise<void> {
    const { journal, clock, log } = this.options;
    const startedAtMs = clock.now();
    try {
      const asked = await journal.readHandover();
      if (asked === undefined || asked.prepares === true || this.prepared?.epoch === asked.epoch) return;
      await journal.writeHandover({ epoch: asked.epoch, prepares: true });
      const prepared = await PreparedState.read(journal, this.policy);
      if (prepared.epoch !== asked.epoch) return;
      this.prepared = prepared;
      this.cancelForgetting = clock.setTimer(KEEP_MS, () => this.forget());
      await journal.writeHandover({ epoch: asked.epoch, prepares: true, preparedRevision: prepared.revision });
      log.info(
        { revision: prepared.revision, tookMs: clock.now() - startedAtMs },
        'read the state of a leader that ends',
      );
    } catch (error) {
      log.warn({ err: error }, 'the state could not be read ahead: it will be read after the election');
    }
  }
}

/** Keys of all rows that changed behind a revision; undefined when that is not known any more, or they are too many. */
export function changedSince(changes: ChangeLog, revision: number): ChangedKeys | undefined {
  const tasks = new Set<string>();
  const desiredLrps = new Set<string>();
  const actualLrps = new Map<string, ActualLrpKeyParts>();
  const domains = new Set<string>();
  const cells = new Set<string>();
  const note = (change: RowChange) => {
    switch (change.kind) {
      case 'task':
        for (const row of [change.before, change.after]) if (row) tasks.add(row.guid);
        return;
      case 'desired-lrp':
        for (const row of [change.before, change.after]) if (row) desiredLrps.add(row.processGuid);
        return;
      case 'actual-lrp':
        for (const row of [change.before, change.after]) {
          if (row) actualLrps.set(actualLrpKey(row), [row.processGuid, row.index, row.generation]);
        }
        return;
      case 'domain':
        for (const row of [change.before, change.after]) if (row) domains.add(row.domain);
        return;
      case 'cell':
        for (const row of [change.before, change.after]) if (row) cells.add(row.cellId);
    }
  };
  let entries: ReturnType<ChangeLog['read']>;
  try {
    entries = changes.read(changes.positionAfter(revision), MAX_CHANGED_ROWS + 1);
  } catch {
    return undefined;
  }
  if (entries.length > MAX_CHANGED_ROWS) return undefined;
  for (const { change } of entries) note(change);
  return {
    tasks: [...tasks],
    desiredLrps: [...desiredLrps],
    actualLrps: [...actualLrps.values()],
    domains: [...domains],
    cells: [...cells],
  };
}
