import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import { run, runToEnd } from '../../../kernel/command.js';
import { GardenError } from '../../garden.js';
import { Batches } from './batches.js';
import { closingScript, type FirewallPlan, type Opening, openingScript, signsOf, wholeRuleset } from './ruleset.js';

/** How often is looked whether the rules are still there: others flush what isn't theirs, as a reload of nftables.service does. */
const CHECK_MS = 10_000;

/**
 * The rules of a cell, as a table of nftables that is nobody else's. Each change is one transaction, and changes at the same time are
 * one together. What has to be there is kept here; the kernel's table is brought to it whenever the two are found to differ.
 */
export class Firewall {
  private readonly openings = new Map<string, Opening>();
  /** Scripts are made when their turn has come, so that a whole made anew has all changes that were asked for before it. */
  private readonly batches = new Batches<() => string>((scripts) => this.apply(scripts));
  /** Counts changes of ours, so that those of others can be told from them. */
  private changes = 0;
  private seen: { changes: number; text: string } | undefined;
  private cancelCheck: () => void = () => undefined;
  private closed = false;

  constructor(
    private readonly plan: FirewallPlan,
    private readonly o: { clock: Clock; log: Logger },
  ) {}

  /**
   * Replaces whatever there is, in one step, by the rules of the given containers, and watches over them from then on.
   * @throws GardenError `unsupported` when this machine can't
   */
  async install(openings: readonly Opening[]): Promise<void> {
    for (const opening of openings) this.openings.set(opening.handle, opening);
    await this.rebuild().catch((cause: unknown) => {
      throw new GardenError(
        'unsupported',
        `the firewall can't be set up; needed are the program nft (package nftables) and a kernel with nf_tables, nat and fib: ${
          cause instanceof Error ? cause.message : cause
        }`,
        { cause },
      );
    });
    this.planCheck();
  }

  /** What a container has now. */
  opening(handle: string): Opening | undefined {
    return this.openings.get(handle);
  }

  /** Lets through what is a container's; without this it can send and get nothing. */
  async open(opening: Opening): Promise<void> {
    this.openings.set(opening.handle, opening);
    try {
      await this.batches.add(() => openingScript(this.plan, opening));
    } catch (error) {
      this.openings.delete(opening.handle);
      throw error;
    }
  }

  /** Changes rules and ports of a container that stays where it is. */
  async change(after: Opening): Promise<void> {
    const before = this.openings.get(after.handle);
    if (!before) throw new Error(`container '${after.handle}' has no network`);
    this.openings.set(after.handle, after);
    try {
      await this.batches.add(() => openingScript(this.plan, after));
    } catch (error) {
      this.openings.set(after.handle, before);
      throw error;
    }
  }

  /** Takes away what is a container's; fine when there is nothing. */
  async shut(handle: string): Promise<void> {
    const opening = this.openings.get(handle);
    if (!opening) return;
    this.openings.delete(handle);
    try {
      await this.batches.add(() => closingScript(this.plan, opening));
    } catch (error) {
      this.openings.set(handle, opening);
      throw error;
    }
  }

  /** Looks whether the kernel has what it should have, and puts it right. */
  async check(): Promise<void> {
    await this.batches.idle();
    const { changes } = this;
    const text = await this.listing();
    // A change of ours came in between: the next look will tell.
    if (this.closed || changes !== this.changes) return;
    const whole = [...this.openings.values()].every((opening) =>
      signsOf(opening).every((sign) => text?.includes(sign)),
    );
    const asBefore = this.seen?.changes !== changes || this.seen.text === text;
    if (text !== undefined && whole && asBefore) {
      this.seen = { changes, text };
      return;
    }
    this.o.log.warn(
      { table: this.plan.table },
      'somebody has changed the firewall rules of the containers; they are put right',
    );
    // In line with changes: one that the kernel took while this was on its way would be undone.
    await this.batches.add(() => this.whole());
  }

  /** All tables without what is of a moment; undefined when one is not there. */
  private async listing(): Promise<string | undefined> {
    const families = this.plan.arp ? ['inet', 'arp'] : ['inet'];
    const lists = await Promise.all(
      families.map((family) => runToEnd('nft', ['-s', 'list', 'table', family, this.plan.table])),
    );
    return lists.every(({ code }) => code === 0) ? lists.map(({ stdout }) => stdout).join('') : undefined;
  }

  /** Stops watching; the rules stay, as the containers do. */
  async close(): Promise<void> {
    this.closed = true;
    this.cancelCheck();
    await this.batches.idle();
  }

  /** Takes all of it away. */
  async remove(): Promise<void> {
    this.cancelCheck();
    await this.batches.idle();
    this.openings.clear();
    for (const family of ['inet', 'arp']) await runToEnd('nft', ['delete', 'table', family, this.plan.table]);
  }

  private async apply(scripts: (() => string)[]): Promise<void> {
    this.changes++;
    try {
      await nft(scripts.map((script) => script()).join('\n'));
    } catch (error) {
      // Most likely the table is gone. What should be there is known, these changes included.
      this.o.log.warn({ error, table: this.plan.table }, 'the firewall rules of the containers are made anew');
      await this.rebuild();
    }
  }

  private async rebuild(): Promise<void> {
    this.changes++;
    await nft(this.whole());
  }

  private whole(): string {
    this.seen = undefined;
    return wholeRuleset(this.plan, this.openings.values());
  }

  private planCheck(): void {
    if (this.closed) return;
    this.cancelCheck = this.o.clock.setTimer(
      CHECK_MS,
      () => {
        this.check()
          .catch((error: unknown) => {
            this.o.log.error({ error }, 'the firewall rules of the containers could not be put right');
          })
          .finally(() => this.planCheck());
      },
      { unref: true },
    );
  }
}

/** Whether this kernel filters ARP too; without, a container can make the host know neighbours that there are none of. */
export async function canFilterArp(): Promise<boolean> {
  return (await runToEnd('nft', ['-c', 'add table arp rivera-probe'])).code === 0;
}

async function nft(script: string): Promise<void> {
  await run('nft', ['-f', '-'], { input: `${script}\n` });
}
