import type { WatchRequest } from '@rivera/gen/rivera/bbs/v1/event_service';
import type { RowChange } from '../core/draft.js';
import { kindOf } from './events.js';

/** Decides which changes a watcher sees; rows of before and after count alike, so nobody misses a departure. */
export class WatchFilter {
  private readonly kinds: ReadonlySet<number>;
  private readonly domains: ReadonlySet<string>;
  private readonly processGuids: ReadonlySet<string>;
  private readonly cellIds: ReadonlySet<string>;
  private readonly taskGuids: ReadonlySet<string>;

  constructor(request: Pick<WatchRequest, 'kinds' | 'domains' | 'processGuids' | 'cellIds' | 'taskGuids'>) {
    this.kinds = new Set(request.kinds);
    this.domains = new Set(request.domains);
    this.processGuids = new Set(request.processGuids);
    this.cellIds = new Set(request.cellIds);
    this.taskGuids = new Set(request.taskGuids);
  }

  passes(change: RowChange): boolean {
    const kind = kindOf(change);
    if (kind === undefined || (this.kinds.size > 0 && !this.kinds.has(kind))) return false;
    switch (change.kind) {
      case 'task':
        return (
          this.processGuids.size === 0 &&
          this.has(this.domains, change.before?.domain, change.after?.domain) &&
          this.has(this.taskGuids, change.before?.guid, change.after?.guid) &&
          this.has(this.cellIds, change.before?.cellId, change.after?.cellId)
        );
      case 'desired-lrp':
        return (
          this.taskGuids.size === 0 &&
          this.has(this.domains, change.before?.domain, change.after?.domain) &&
          this.has(this.processGuids, change.before?.processGuid, change.after?.processGuid)
        );
      case 'actual-lrp':
        return (
          this.taskGuids.size === 0 &&
          this.has(this.domains, change.before?.domain, change.after?.domain) &&
          this.has(this.processGuids, change.before?.processGuid, change.after?.processGuid) &&
          this.has(this.cellIds, change.before?.cellId, change.after?.cellId)
        );
      case 'cell':
        return (
          this.taskGuids.size === 0 &&
          this.processGuids.size === 0 &&
          this.has(this.cellIds, change.before?.cellId, change.after?.cellId)
        );
      case 'domain':
        return false;
    }
  }

  private has(wanted: ReadonlySet<string>, before: string | undefined, after: string | undefined): boolean {
    if (wanted.size === 0) return true;
    return (before !== undefined && wanted.has(before)) || (after !== undefined && wanted.has(after));
  }
}
