import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { Action } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import type { RiveraClient } from '@rivera/sdk/client';

const PAUSE_MS = 50;

/** What is needed of a client. */
interface Client {
  readonly desiredLrps: Pick<RiveraClient['desiredLrps'], 'desire' | 'update' | 'remove'>;
}

/** A desired LRP as the BBS lists it, as far as it matters here. */
interface Listed {
  readonly annotation: string;
}

/**
 * Writes and remembers what was acknowledged, so that it can be looked for later. Records are LRPs without instances: each is
 * made, changed and, every third one, removed. One whose last write has an unknown outcome may be either way.
 */
export class Writes {
  /** What must be there; undefined: must be gone. Only for acknowledged writes. */
  private readonly expected = new Map<string, Listed | undefined>();
  private readonly unknown = new Set<string>();
  private made = 0;
  private turn: Promise<void> = Promise.resolve();
  private paused = false;
  private over = false;
  private readonly writing: Promise<void>;

  constructor(
    private readonly client: Client,
    private readonly prefix = 'written',
  ) {
    this.writing = this.loop();
  }

  /** Writes that were acknowledged. */
  get acknowledged(): number {
    return this.expected.size;
  }

  /** One more write; it is durable when this resolves. */
  async write(): Promise<void> {
    const guid = `${this.prefix}-${this.made++}`;
    const remove = this.made % 3 === 0;
    await this.attempt(guid, { annotation: '' }, () => this.client.desiredLrps.desire(empty(guid)));
    await this.attempt(guid, { annotation: 'changed' }, () =>
      this.client.desiredLrps.update(guid, { annotation: 'changed' }),
    );
    if (remove) await this.attempt(guid, undefined, () => this.client.desiredLrps.remove(guid));
  }

  /** Writes nothing until `resume`; resolves when nothing is under way. */
  async pause(): Promise<void> {
    this.paused = true;
    await this.turn;
  }

  resume(): void {
    this.paused = false;
  }

  async close(): Promise<void> {
    this.over = true;
    await this.writing;
  }

  /** Acknowledged writes that a listing of desired LRPs contradicts. */
  lostFrom(listed: ReadonlyMap<string, Listed>): string[] {
    const lost: string[] = [];
    for (const [guid, expected] of this.expected) {
      if (this.unknown.has(guid)) continue;
      const found = listed.get(guid);
      if (found?.annotation !== expected?.annotation) {
        lost.push(`${guid}: acknowledged ${JSON.stringify(expected)}, there is ${JSON.stringify(found)}`);
      }
    }
    return lost;
  }

  private async attempt(guid: string, outcome: Listed | undefined, write: () => Promise<unknown>): Promise<void> {
    this.unknown.add(guid);
    await write();
    this.expected.set(guid, outcome);
    this.unknown.delete(guid);
  }

  private async loop(): Promise<void> {
    while (!this.over) {
      // A write that fails stays unknown; the next one is another record.
      if (!this.paused) this.turn = this.write().catch(() => undefined);
      await this.turn;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

function empty(processGuid: string): DesiredLrp {
  return DesiredLrp.fromPartial({
    processGuid,
    domain: 'written',
    instances: 0,
    container: ContainerSpec.fromPartial({ rootFs: 'preloaded:busybox', memoryMb: 1, diskMb: 1, logGuid: processGuid }),
    action: Action.fromPartial({
      action: { $case: 'runAction', value: { path: '/sim/run', args: [], user: 'root' } },
    } as never),
  } as never);
}
