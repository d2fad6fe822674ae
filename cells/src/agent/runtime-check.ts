import { randomBytes } from 'node:crypto';
import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import { type Garden, GardenError } from '../garden/garden.js';

/** Marks the containers of checks: neither the executor's nor anybody else's. */
const OWNER = { 'executor:owner': 'executor-health-check', 'network.healthcheck': 'true' };
const HANDLE_PREFIX = 'check-';
const ATTEMPTS = 3;
const PAUSE_MS = 1000;
/** The first look, and the next one after a failure, unless the interval is shorter. */
const SOON_MS = 30_000;
/** How long an ending agent waits for a check that hangs. */
const CLOSE_PATIENCE_MS = 10_000;

export interface RuntimeCheckOptions {
  readonly garden: Garden;
  readonly clock: Clock;
  readonly log: Logger;
  /** From the end of one check to the next. */
  readonly intervalMs: number;
  /** After which a check has failed. */
  readonly timeoutMs: number;
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Whether there is no room for one more container; then there is nothing to find out. */
  readonly full: () => boolean;
}

/**
 * Makes a container, runs a program in it and destroys it, again and again (spec cell §36): a cell whose runtime is broken would take
 * work, fail it quickly, and so draw ever more. Until the first failure the cell counts as healthy, as what its machine
 * needs was looked at before. An unhealthy one refuses work and leaves alone what runs.
 */
export class RuntimeCheck {
  readonly #closing = new AbortController();
  #failure: string | undefined;
  #failures = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #now: () => void = () => {};
  #loop: Promise<void> = Promise.resolve();

  constructor(private readonly options: RuntimeCheckOptions) {}

  /** Why this cell can run nothing; undefined while it can. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Checks that failed. */
  get failures(): number {
    return this.#failures;
  }

  start(): void {
    this.#loop = this.#keepChecking();
  }

  /** A container could not be made. That may lie in its definition; or else in the runtime, which is looked at soon then. */
  suspect(): void {
    if (this.options.clock.now() - this.#lastMs >= SOON_MS) this.#now();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const waited = new AbortController();
    const late = this.options.clock.sleep(CLOSE_PATIENCE_MS, waited.signal).catch(() => {});
    await Promise.race([this.#loop, late]);
    waited.abort();
  }

  async #keepChecking(): Promise<void> {
    const { intervalMs } = this.options;
    const { signal } = this.#closing;
    // Of an agent that was killed in the middle of a check.
    await this.#abandon(Promise.resolve());
    await this.#pause(Math.min(intervalMs, SOON_MS));
    while (!signal.aborted) {
      if (!this.options.full()) await this.#check();
      await this.#pause(this.#failure === undefined ? intervalMs : Math.min(intervalMs, SOON_MS));
    }
  }

  /** Until the time is over, something is suspected, or the end. */
  async #pause(ms: number): Promise<void> {
    const over = new AbortController();
    this.#now = () => over.abort();
    const signal = AbortSignal.any([over.signal, this.#closing.signal]);
    await this.options.clock.sleep(ms, signal).catch(() => {});
    this.#now = () => {};
  }

  async #check(): Promise<void> {
    const { clock, timeoutMs, log } = this.options;
    const waited = new AbortController();
    const { signal } = this.#closing;
    const late = clock.sleep(timeoutMs, AbortSignal.any([signal, waited.signal])).then(
      () => `the check took longer than ${timeoutMs} ms`,
      () => undefined,
    );
    const work = this.#once().then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    const failure = await Promise.race([work, late]);
    waited.abort();
    if (signal.aborted) return this.#abandon(work);
    if (failure !== undefined) this.#failures++;
    if (failure !== undefined) log.error({ reason: failure }, 'the runtime of this cell is broken: no work is taken');
    else if (this.#failure !== undefined) log.info('the runtime of this cell works again');
    this.#failure = failure;
    // One that hangs has to end before the next begins: two would stand in each other's way.
    await this.#abandon(work);
    this.#lastMs = clock.now();
  }

  /** Whatever a check waits for ends with its container. */
  async #abandon(work: Promise<unknown>): Promise<void> {
    await this.#clear().catch((error: unknown) => {
      this.options.log.warn({ err: error }, 'the container of a check could not be destroyed');
    });
    await work;
  }

  async #once(): Promise<void> {
    const { garden } = this.options;
    await this.#step('destroying the containers of earlier checks', () => this.#clear());
    const [name] = await garden.preloadedRootFs();
    if (name === undefined) return;
    const handle = `${HANDLE_PREFIX}${randomBytes(8).toString('hex')}`;
    try {
      const limits = { memoryBytes: 0, diskBytes: 0, pids: 0, cpuShares: 0 };
      const spec = {
        handle,
        rootFs: `preloaded:${name}`,
        env: {},
        limits,
        ports: [],
        egress: [],
        mounts: [],
        privileged: false,
      };
      await this.#step('making a container', () => garden.create({ ...spec, properties: OWNER }));
      let run = 0;
      await this.#step('running a program', () => this.#run(handle, `check.${++run}`));
    } finally {
      if (garden.lookup(handle)) await this.#step('destroying a container', () => this.#clear());
    }
  }

  async #clear(): Promise<void> {
    const { garden } = this.options;
    const own = garden.list().filter(({ spec }) => spec.properties['executor:owner'] === OWNER['executor:owner']);
    for (const { handle } of own) {
      try {
        await garden.destroy(handle);
      } catch (error) {
        if (!(error instanceof GardenError) || error.kind !== 'not-found') throw error;
      }
    }
  }

  async #run(handle: string, id: string): Promise<void> {
    const [path = '', ...args] = this.options.command;
    const process = await this.options.garden.lookup(handle)?.run({ id, path, args, env: {}, dir: '/', user: 'root' });
    if (process === undefined) throw new Error('the container is gone');
    const { code, lost } = await process.wait();
    if (code !== 0) throw new Error(lost ?? `Healthcheck exited with ${code}`);
  }

  /** Tries something some times, as a loaded machine may fail once. */
  async #step<T>(what: string, work: () => Promise<T>): Promise<T> {
    const { signal } = this.#closing;
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        if (attempt === ATTEMPTS || signal.aborted) throw new Error(`${what} failed: ${text}`, { cause: error });
        await this.options.clock.sleep(PAUSE_MS, signal).catch(() => {});
      }
    }
  }
}
