import { type ActualLrp, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { Event } from '@rivera/gen/rivera/bbs/v1/event';
import type { RiveraClient } from '@rivera/sdk/client';
import { until } from '../stack/until.js';
import { type Item, sidesOf, snapshotItem } from './records.js';

/** What a record was from a revision on; undefined: gone. */
interface Version {
  readonly revision: number;
  readonly item: Item | undefined;
}

/**
 * A copy of the BBS that is made of a snapshot and events alone. It keeps all versions, so it can say what there was at any
 * revision, and compares the "before" of every event with what it has: a gap shows at once.
 */
export class Replica {
  readonly violations: string[] = [];
  /** How often it had to begin anew because events were not kept long enough, as when the server was killed. */
  resets = 0;
  private versions = new Map<string, Version[]>();
  private firstRevision: number | undefined;
  private revision = 0;
  private readonly over = new AbortController();
  private readonly following: Promise<void>;

  constructor(client: Pick<RiveraClient, 'watch'>) {
    this.following = this.follow(client).catch((error: unknown) => {
      if (!this.over.signal.aborted) this.violations.push(`the watch ended: ${error}`);
    });
  }

  /** Revision of the last event. */
  get lastRevision(): number {
    return this.revision;
  }

  /** Resolves once everything up to a revision is here; something later must happen for that. */
  async reached(revision: number): Promise<void> {
    await until(
      `the replica has revision ${revision}`,
      () => this.firstRevision !== undefined && this.revision > revision,
    );
  }

  /** The records as they were at a revision; undefined when that was before its beginning. */
  asOf(revision: number): Map<string, string> | undefined {
    if (this.firstRevision === undefined || revision < this.firstRevision) return undefined;
    const items = new Map<string, string>();
    for (const [key, versions] of this.versions) {
      const text = versions.findLast((version) => version.revision <= revision)?.item?.text;
      if (text !== undefined) items.set(key, text);
    }
    return items;
  }

  async close(): Promise<void> {
    this.over.abort();
    await this.following;
  }

  private async follow(client: Pick<RiveraClient, 'watch'>): Promise<void> {
    for await (const step of client.watch({ snapshot: true, signal: this.over.signal })) {
      switch (step.kind) {
        case 'snapshot': {
          const item = snapshotItem(step.record);
          if (item !== undefined) this.versions.set(item.key, [{ revision: 0, item }]);
          break;
        }
        case 'snapshot-complete':
          this.firstRevision = step.revision;
          this.revision = step.revision;
          break;
        case 'reset':
          this.resets++;
          this.versions = new Map();
          this.firstRevision = undefined;
          break;
        case 'event':
          this.take(step.event);
      }
    }
  }

  private take(event: Event): void {
    // After a reconnect a revision that was cut in two is told again as a whole.
    if (event.revision < this.revision) return;
    const sides = sidesOf(event);
    const { before, after } = sides ?? {};
    const key = (before ?? after)?.key;
    if (key === undefined) return;
    // An instance that gets another part in its slot goes on under another name.
    if (before !== undefined && after !== undefined && before.key !== after.key) {
      this.note(event.revision, key, { before, after: undefined });
      this.note(event.revision, after.key, { before: undefined, after });
    } else this.note(event.revision, key, { before, after });
    const fault = after?.instance && faultOf(before?.instance, after.instance);
    if (fault) this.violations.push(`revision ${event.revision}, ${key}: ${fault}`);
    this.revision = event.revision;
  }

  private note(
    revision: number,
    key: string,
    { before, after }: { before: Item | undefined; after: Item | undefined },
  ): void {
    const versions = this.versions.get(key) ?? [];
    const current = versions.at(-1)?.item;
    if (revision === this.revision && current?.text === after?.text && current?.text !== before?.text) return;
    if (current?.text !== before?.text) {
      this.violations.push(
        `revision ${revision}, ${key}: the event changes ${before?.text}, there was ${current?.text}`,
      );
    }
    versions.push({ revision, item: after });
    this.versions.set(key, versions);
  }
}

/** What is wrong with an instance's record whatever else there is; undefined: nothing. */
export function faultOf(before: ActualLrp | undefined, after: ActualLrp): string | undefined {
  const onCell = after.state === ActualLrpState.CLAIMED || after.state === ActualLrpState.RUNNING;
  if (onCell !== (after.cellId !== '')) return `${ActualLrpState[after.state]} with cell "${after.cellId}"`;
  if (onCell !== (after.instanceGuid !== '')) return `${ActualLrpState[after.state]} with guid "${after.instanceGuid}"`;
  if ((after.state === ActualLrpState.RUNNING) !== (after.netInfo !== undefined))
    return 'RUNNING and an address go together';
  if (before === undefined) return undefined;
  const [then, now] = [before.modificationTag, after.modificationTag];
  const next = then?.epoch === now?.epoch && (then?.index ?? 0) + 1 === now?.index;
  return next ? undefined : `modification tag ${now?.epoch}/${now?.index} follows ${then?.epoch}/${then?.index}`;
}
