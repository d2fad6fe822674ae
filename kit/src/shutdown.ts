import type { Logger } from './log.js';

/** What a program is told and may ask for while it runs. */
export interface Program {
  /** Aborted as soon as the program is to end. */
  readonly signal: AbortSignal;
  /** Registers something to close at the end; the last registered is closed first. */
  onClose(name: string, close: () => Promise<void> | void): void;
  /** Ends the program, as a signal would; with an error it ends as failed. */
  stop(error?: unknown): void;
}

export interface RunOptions {
  readonly logger: Logger;
  /** For all closing together; default 15 s. */
  readonly closeTimeoutMs?: number;
  /** Where signals come from and the end goes to; default: this process. */
  readonly process?: SignalSource;
}

/** The part of `process` that a program's life depends on. */
export interface SignalSource {
  on(signal: EndSignal, listener: (signal: EndSignal) => void): unknown;
  off(signal: EndSignal, listener: (signal: EndSignal) => void): unknown;
  exit(code: number): void;
}

type EndSignal = 'SIGINT' | 'SIGTERM';
const SIGNALS: readonly EndSignal[] = ['SIGINT', 'SIGTERM'];
/** As shells have it: 128 and the number of the signal. */
const FORCED: { readonly [S in EndSignal]: number } = { SIGINT: 130, SIGTERM: 143 };

/**
 * Runs a program until SIGTERM, SIGINT or stop(), then closes what it registered, in reverse, within a time limit.
 * A second signal does not wait. Resolves to the exit code: 0 after an orderly end, 1 after a failure.
 */
export async function runProgram(
  start: (program: Program) => Promise<void> | void,
  { logger, closeTimeoutMs = 15_000, process: source = process }: RunOptions,
): Promise<number> {
  const aborter = new AbortController();
  const closers: { name: string; close: () => Promise<void> | void }[] = [];
  let failed = false;

  const fail = (error: unknown, message: string): void => {
    failed = true;
    logger.fatal({ err: error }, message);
  };
  const onSignal = (signal: EndSignal): void => {
    if (aborter.signal.aborted) {
      logger.warn({ signal }, 'forced to end');
      source.exit(FORCED[signal]);
      return;
    }
    logger.info({ signal }, 'closing');
    aborter.abort(new Error(`received ${signal}`));
  };
  const program: Program = {
    signal: aborter.signal,
    onClose: (name, close) => {
      closers.push({ name, close });
    },
    stop: (error) => {
      if (error !== undefined) fail(error, 'the program failed');
      aborter.abort(error ?? new Error('stopped'));
    },
  };

  for (const signal of SIGNALS) source.on(signal, onSignal);
  try {
    try {
      await start(program);
      await ended(aborter.signal);
    } catch (error) {
      if (!aborter.signal.aborted) fail(error, 'the program could not start');
      aborter.abort(error);
    }
    if (!(await closeAll(closers, closeTimeoutMs, logger))) failed = true;
  } finally {
    for (const signal of SIGNALS) source.off(signal, onSignal);
  }
  return failed ? 1 : 0;
}

/** Closes one thing after the other; what fails or takes too long is named, and the rest still gets its turn. */
async function closeAll(
  closers: { name: string; close: () => Promise<void> | void }[],
  timeoutMs: number,
  logger: Logger,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  let orderly = true;
  for (let next = closers.pop(); next; next = closers.pop()) {
    const { name, close } = next;
    try {
      await inTime(async () => await close(), Math.max(0, deadline - performance.now()));
    } catch (error) {
      orderly = false;
      logger.error({ err: error, part: name }, 'not closed');
    }
  }
  return orderly;
}

async function inTime(work: () => Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('took too long')), ms);
  });
  try {
    await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
