import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import { type Lease, LeaseHeldError, type LeaseStore, type LeaseType } from './lease-store.js';

export interface LeaseKeeperOptions {
  store: LeaseStore;
  key: string;
  /** Different for each process, and for each of its keepers of one key. */
  owner: string;
  /** Default `lock`. */
  type?: LeaseType;
  /** What others read about the holder, such as its address. */
  value: string;
  ttlMs: number;
  /** Pause before another try to take what somebody else holds, or after a failure; default 1 s. */
  retryMs?: number;
  /** Pause between renewals; default a third of the TTL. */
  renewEveryMs?: number;
  clock: Clock;
  /** Milliseconds that never go back, from any origin; default the process's monotonic clock. */
  monotonicMs?: () => number;
  logger: Logger;
  /** The lease has been taken. The epoch is the same as before when it had been given up too early. */
  onAcquired: (epoch: number) => void;
  /** Somebody else holds the lease; told at each look. */
  onHeld?: (holder: Lease) => void;
  /** The lease must be considered gone: whatever it protects stops now. Not called by `close`. */
  onLost: (reason: string) => void;
}

/** A moment on both clocks. */
interface Moment {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

interface Holding {
  readonly epoch: number;
  /** When the last successful request was sent: the store counts its TTL from a later moment. */
  readonly since: Moment;
  readonly cancelTimer: () => void;
}

/** The part of the TTL after which the keeper no longer trusts it: the rest is for clocks that run at different speeds. */
const TRUSTED_PART = 0.9;
/** Pause between two looks whether a lease that somebody else holds was given back. */
const LOOK_EVERY_MS = 200;
/** How long `close` waits for the store, once for what is under way and once for the release. */
const CLOSE_GRACE_MS = 2_000;

/**
 * Takes one lease as soon as it is free, and renews it until it is closed. It considers itself deposed by its own clocks before the
 * store can give the lease to another: failed renewals are tolerated for so long and no longer. A request to the store is never sent
 * while one is under way, so an unanswering store is not flooded; how long one may take is the store's affair.
 *
 * Both the monotonic and the wall clock are asked how much time has passed, and the one that says more is believed: the first stands
 * still while a virtual machine is paused, the second can be set back.
 */
export class LeaseKeeper {
  private readonly options: Required<LeaseKeeperOptions>;
  private readonly trustedMs: number;
  private readonly stop = new AbortController();
  /** Aborted to end a pause early; replaced with each pause. */
  private pause = new AbortController();
  private holding: Holding | undefined;
  private resigning = false;
  /** Got while closing: held in the store, though not here. */
  private unreleased = false;
  private other: Lease | undefined;
  private value: string;
  private sentValue: string | undefined;
  private running: Promise<void> | undefined;

  constructor(options: LeaseKeeperOptions) {
    this.options = {
      type: 'lock',
      retryMs: 1_000,
      renewEveryMs: Math.floor(options.ttlMs / 3),
      monotonicMs: () => performance.now(),
      onHeld: () => undefined,
      ...options,
    };
    this.value = options.value;
    this.trustedMs = Math.floor(options.ttlMs * TRUSTED_PART);
    if (this.options.renewEveryMs >= this.trustedMs)
      throw new RangeError('a lease must be renewed well within its TTL');
  }

  start(): void {
    this.running ??= this.run();
  }

  /** The epoch while the lease is certainly held, judged by the clocks at this moment. */
  get epoch(): number | undefined {
    return this.holding !== undefined && this.elapsedMs(this.holding.since) < this.trustedMs
      ? this.holding.epoch
      : undefined;
  }

  /** Who held the lease when it was last refused. */
  get holder(): { owner: string; value: string } | undefined {
    return this.other;
  }

  /** Gives the lease up, so that another may take it, and stands in line again after twice the retry interval. */
  resign(): void {
    if (this.holding === undefined) return;
    this.resigning = true;
    this.lose('resigned');
    this.pause.abort();
  }

  /** Ends everything and releases the lease. What it protects must have stopped before. */
  async close(): Promise<void> {
    if (this.stop.signal.aborted) return;
    this.stop.abort();
    this.pause.abort();
    await this.within(this.running ?? Promise.resolve());
    const held = this.holding !== undefined;
    this.lose('closed');
    if (held || this.unreleased || this.resigning) await this.within(this.release());
  }

  private async run(): Promise<void> {
    while (!this.stop.signal.aborted) {
      if (this.resigning) {
        await this.release();
        this.resigning = false;
        await this.sleep(this.options.retryMs * 2);
        continue;
      }
      const held = await this.attempt();
      if (this.resigning) continue;
      // What others read may have changed while the request was under way.
      if (held && this.sentValue !== this.value) continue;
      if (held) await this.sleep(this.options.renewEveryMs);
      else await this.untilFree();
    }
  }

  /** A pause before the next attempt, which ends as soon as the lease is given back: looking is cheap and locks nothing. */
  private async untilFree(): Promise<void> {
    const { store, key, retryMs } = this.options;
    const looks = Math.ceil(retryMs / LOOK_EVERY_MS);
    for (let look = 1; look <= looks && !this.stop.signal.aborted; look++) {
      await this.sleep(retryMs / looks);
      if (look === looks || this.other === undefined || this.stop.signal.aborted) continue;
      const lease = await store.fetch(key).catch(() => this.other);
      if (lease === undefined) {
        // Whoever held it is gone: nobody is to be sent there any more.
        this.other = undefined;
        return;
      }
      this.heldBy(lease);
    }
  }

  /** One request to the store. @returns true when the lease is held after it */
  private async attempt(): Promise<boolean> {
    const { store, key, owner, type, ttlMs, logger } = this.options;
    const { value } = this;
    this.sentValue = value;
    const sent = this.now();
    try {
      const lease = await store.acquire({ key, owner, type, value, ttlMs });
      return this.acquired(lease, sent);
    } catch (error) {
      if (error instanceof LeaseHeldError) {
        this.heldBy(error.lease);
        this.lose(`held by "${error.lease.owner}"`);
      } else {
        logger.warn({ err: error, lease: key }, 'the lease could not be asked for');
      }
      return false;
    }
  }

  private heldBy(lease: Lease): void {
    this.other = lease;
    this.options.onHeld(lease);
  }

  /** What others read about this holder from now on, at once if it holds the lease. */
  setValue(value: string): void {
    this.value = value;
    if (this.holding !== undefined) this.pause.abort();
  }

  private acquired(lease: Lease, sent: Moment): boolean {
    this.other = undefined;
    const leftMs = this.trustedMs - this.elapsedMs(sent);
    // The answer took so long that it is worth nothing any more; or the lease is about to be given back.
    if (leftMs <= 0 || this.resigning) return false;
    if (this.stop.signal.aborted) {
      this.unreleased = true;
      return true;
    }
    const before = this.holding;
    // Another epoch: it had expired in the store without being noticed here, and somebody may have held it in between.
    if (before !== undefined && before.epoch !== lease.epoch) this.lose('it had expired in the store');
    const fresh = this.holding === undefined;
    this.holding?.cancelTimer();
    const cancelTimer = this.options.clock.setTimer(leftMs, () => this.expire(sent));
    this.holding = { epoch: lease.epoch, since: sent, cancelTimer };
    if (fresh) {
      this.options.logger.info({ lease: lease.key, epoch: lease.epoch }, 'lease acquired');
      this.options.onAcquired(lease.epoch);
    }
    return true;
  }

  private expire(since: Moment): void {
    if (this.holding?.since === since) this.lose('it could not be renewed in time');
  }

  private lose(reason: string): void {
    const { holding } = this;
    if (holding === undefined) return;
    this.holding = undefined;
    holding.cancelTimer();
    if (this.stop.signal.aborted) return;
    this.options.logger.warn({ lease: this.options.key, epoch: holding.epoch, reason }, 'lease lost');
    this.options.onLost(reason);
  }

  private async release(): Promise<void> {
    try {
      await this.options.store.release(this.options.key, this.options.owner);
    } catch (error) {
      // It expires by itself; another waits a little longer.
      this.options.logger.warn({ err: error, lease: this.options.key }, 'the lease could not be released');
    }
  }

  private now(): Moment {
    return { wallMs: this.options.clock.now(), monotonicMs: this.options.monotonicMs() };
  }

  private elapsedMs(since: Moment): number {
    const now = this.now();
    return Math.max(now.wallMs - since.wallMs, now.monotonicMs - since.monotonicMs);
  }

  private async sleep(ms: number): Promise<void> {
    this.pause = new AbortController();
    if (this.stop.signal.aborted || this.resigning) return;
    // The only rejection is the abort, which ends the pause as meant.
    await this.options.clock.sleep(ms, this.pause.signal).catch(() => undefined);
  }

  private async within(work: Promise<void>): Promise<void> {
    const waiting = new AbortController();
    const tooLong = this.options.clock.sleep(CLOSE_GRACE_MS, waiting.signal).catch(() => undefined);
    await Promise.race([work, tooLong]);
    waiting.abort();
  }
}
