import { RiveraError } from '@rivera/kit/errors';
import { LeaderFinder } from '@rivera/kit/grpc/leader';
import { type Call, callOnce } from './calls.js';
import type { Chance } from './chance.js';
import type { Coverage } from './coverage.js';
import type { SimulatedDatabase } from './database.js';
import type { Host } from './host.js';
import type { Network } from './network.js';

export interface ClientOptions {
  readonly host: Host;
  readonly network: Network;
  readonly database: SimulatedDatabase;
  readonly chance: Chance;
  readonly coverage: Coverage;
  readonly addresses: readonly string[];
}

/** What a client knows of its command in the end. */
export type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'refused'; readonly reason: string }
  /** Some attempt may have had an effect. */
  | { readonly kind: 'unknown' };

const PEER = { role: 'client' as const, name: 'client' };
const MOST_ATTEMPTS = 4;
const DEADLINE_MS = 4_000;
const POLL_MS = 100;
/** Reasons that say for certain that nothing was done. */
const UNDONE = new Set(['NOT_LEADER', 'DATABASE_UNAVAILABLE', 'TOO_MANY_REQUESTS', 'SHUTTING_DOWN']);

/** A client as the SDK makes one: it looks for the leader, and repeats what may succeed later, the same request each time. */
export class Client {
  /** Of a hundred calls, so many lose the request, and so many the answer. */
  lossPercent = 0;
  /** Commands of which the fate is open. */
  open = 0;
  private readonly finder: LeaderFinder;

  constructor(private readonly options: ClientOptions) {
    this.finder = new LeaderFinder(options.addresses);
  }

  /**
   * Carries out one command. `decided` is called once it is certain what became of it, which for a lost answer is when everything that
   * could still have an effect has ended.
   */
  async command(path: string, request: unknown, decided: (outcome: Outcome) => void): Promise<void> {
    const { coverage, host, chance } = this.options;
    this.open++;
    coverage.commands++;
    const calls: Call[] = [];
    let outcome: Outcome = { kind: 'unknown' };
    let uncertain = false;
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      if (attempt > 0) coverage.note('request repeated');
      const address = this.finder.current();
      try {
        const call = callOnce(host, { address, path, peer: PEER }, request, this.callOptions());
        calls.push(call);
        await call.answer;
        outcome = { kind: 'done' };
        coverage.acknowledged++;
        break;
      } catch (error) {
        if (!(error instanceof RiveraError)) throw error;
        this.finder.failed(error, address);
        if (!error.retryable && error.reason !== 'OUTCOME_UNKNOWN') {
          if (!uncertain) outcome = { kind: 'refused', reason: error.reason };
          break;
        }
        uncertain ||= !UNDONE.has(error.reason);
        await host.clock.sleep(chance.between(50, 600));
      }
    }
    if (outcome.kind === 'unknown') await this.untilDecided(calls);
    this.open--;
    decided(outcome);
  }

  private callOptions() {
    const { network, chance, coverage } = this.options;
    return { network, chance, coverage, deadlineMs: DEADLINE_MS, lossPercent: this.lossPercent };
  }

  private async untilDecided(calls: readonly Call[]): Promise<void> {
    const { host, database } = this.options;
    const running = ({ ended, handledBy }: Call) => !ended && handledBy?.alive !== false;
    while (calls.some(running)) await host.clock.sleep(POLL_MS);
    const arrived = database.arrivalOfAll();
    while (!arrived()) await host.clock.sleep(POLL_MS);
  }
}
