import { EventServiceService, type WatchRequest, type WatchResponse } from '@rivera/gen/rivera/bbs/v1/event_service';
import { RiveraError } from '@rivera/kit/errors';
import { LeaderFinder } from '@rivera/kit/grpc/leader';
import { sidesOf, snapshotItem } from '../records.js';
import type { Chance } from './chance.js';
import type { Coverage } from './coverage.js';
import type { Host } from './host.js';
import type { Network } from './network.js';

export interface WatcherOptions {
  readonly host: Host;
  readonly network: Network;
  readonly chance: Chance;
  readonly coverage: Coverage;
  readonly addresses: readonly string[];
  readonly onViolation: (what: string) => void;
}

const PEER = { role: 'reader' as const, name: 'watcher' };
const EVERYTHING: WatchRequest = {
  snapshot: false,
  resumeToken: '',
  kinds: [],
  domains: [],
  processGuids: [],
  cellIds: [],
  taskGuids: [],
};

/**
 * A client that follows everything: a snapshot, then events, and after each break it goes on where it was, at whichever server leads
 * then. The "before" of every event has to be what it has, so a gap or a repetition shows at once.
 */
export class Watcher {
  /** Revision that the records are of; undefined until the first snapshot is whole. */
  revision: number | undefined;
  private records = new Map<string, string>();
  private readonly finder: LeaderFinder;
  private token = '';
  private lastAddress = '';

  constructor(private readonly options: WatcherOptions) {
    this.finder = new LeaderFinder(options.addresses);
    void this.follow();
  }

  /** Records by kind and name. */
  get seen(): ReadonlyMap<string, string> {
    return this.records;
  }

  private async follow(): Promise<void> {
    const { host, chance, coverage } = this.options;
    while (host.alive) {
      const address = this.finder.current();
      const resumed = this.token !== '';
      try {
        await this.watch(address, () => {
          if (!resumed) return;
          coverage.note('watch resumed');
          if (this.lastAddress !== address) coverage.note('watch resumed at another leader');
        });
      } catch (error) {
        if (error instanceof RiveraError && error.reason === 'RESUME_TOKEN_TOO_OLD') {
          coverage.note('watch begun anew');
          this.token = '';
          this.revision = undefined;
        }
        this.finder.failed(error, address);
      }
      await host.clock.sleep(chance.between(20, 400));
    }
  }

  private async watch(address: string, welcomed: () => void): Promise<void> {
    const { host, network, onViolation } = this.options;
    const request = this.token === '' ? { ...EVERYTHING, snapshot: true } : { ...EVERYTHING, resumeToken: this.token };
    const snapshot = new Map<string, string>();
    const over = new AbortController();
    const { path } = EventServiceService.watch;
    let first = true;
    const responses = network.watch<WatchRequest, WatchResponse>(
      host,
      { address, path, peer: PEER },
      request,
      over.signal,
    );
    for await (const response of responses) {
      if (first) welcomed();
      first = false;
      for (const record of response.snapshotRecords) {
        const item = snapshotItem(record);
        if (item === undefined) continue;
        if (snapshot.has(item.key)) onViolation(`${item.key} is twice in a snapshot`);
        snapshot.set(item.key, item.text);
      }
      if (response.snapshotComplete) this.records = snapshot;
      for (const event of response.events) this.take(event);
      if (response.resumeToken === '') continue;
      this.token = response.resumeToken;
      this.lastAddress = address;
      this.revision = Number(response.resumeToken.slice('r1.'.length));
    }
  }

  private take(event: WatchResponse['events'][number]): void {
    const sides = sidesOf(event);
    if (sides === undefined) return;
    const { before, after } = sides;
    // An instance may get another part in its slot, which is another place.
    const [from, to] = [(before ?? after)?.key ?? '', (after ?? before)?.key ?? ''];
    this.expect(event.revision, from, before?.text);
    if (from !== to) this.expect(event.revision, to, undefined);
    this.records.delete(from);
    if (after !== undefined) this.records.set(to, after.text);
  }

  private expect(revision: number, key: string, text: string | undefined): void {
    const seen = this.records.get(key);
    if (seen === text) return;
    this.options.onViolation(`the event of revision ${revision} changes ${key} from ${text}, a watcher has ${seen}`);
  }
}
