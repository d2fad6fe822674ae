import { ActualLrp, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import { LrpView, type RunningProgress } from '@rivera/sdk/api/wait-for-running';
import type { RiveraClient } from '@rivera/sdk/client';
import { CliError, EXIT } from '../failures.js';
import type { Session } from '../session.js';
import { isSilence } from '../silence.js';
import { Progress } from '../terminal/progress.js';
import { count } from '../terminal/text.js';
import { addressesOf, instanceState, troubleOf } from './states.js';
import { lateAfter, WAIT_MS } from './waiting.js';

/** What is waited for. */
export interface Wanted {
  instances: number;
  /** How long they have to have been running, in milliseconds. */
  settleMs: number;
  /** Default two minutes. */
  timeoutMs: number | undefined;
}

/**
 * Waits until so many instances run, and go on running for a while, showing how far it is.
 * @throws CliError (failed) when they do not in time, or one has crashed so often that it has to pause, with what keeps them
 */
export async function untilRunning(session: Session, name: string, wanted: Wanted): Promise<ActualLrp[]> {
  const client = await session.client();
  const progress = new Progress(session.out);
  const deadline = performance.now() + (wanted.timeoutMs ?? WAIT_MS);
  const givenUp = new AbortController();
  const signal = AbortSignal.any([session.signal, givenUp.signal]);
  let last: RunningProgress | undefined;
  const onProgress = (now: RunningProgress) => {
    last = now;
    progress.show(describeProgress(name, now));
    if (now.instances.some((lrp) => pauses(lrp, wanted))) givenUp.abort();
  };
  try {
    for (;;) {
      const timeoutMs = Math.max(0, deadline - performance.now());
      const options = { instances: wanted.instances, signal, timeoutMs, onProgress };
      const running = (await client.actualLrps.waitForRunning(name, options)).slice(0, wanted.instances);
      if (running.length === 0 || wanted.settleMs === 0) return running;
      const late = lateAfter(timeoutMs + wanted.settleMs);
      const settling = { ms: wanted.settleMs, signal: AbortSignal.any([signal, late]), onProgress };
      if (await goOnRunning(client, name, running, settling)) return running;
    }
  } catch (error) {
    const isLate = performance.now() >= deadline || (isSilence(error) && error.codeName === 'DEADLINE_EXCEEDED');
    if (last === undefined || session.signal.aborted || !(givenUp.signal.aborted || isLate)) throw error;
    throw notRunning(name, last, givenUp.signal.aborted);
  } finally {
    progress.done();
  }
}

/** Whether an instance that is waited for has crashed so often that it is left alone for a while. */
function pauses(lrp: ActualLrp, { instances }: Wanted): boolean {
  return lrp.state === ActualLrpState.CRASHED && (lrp.key?.index ?? 0) < instances;
}

/** Whether all of these very containers are still running after some time. Resolves early when one is not. */
async function goOnRunning(
  client: RiveraClient,
  name: string,
  running: readonly ActualLrp[],
  { ms, signal, onProgress }: { ms: number; signal: AbortSignal; onProgress: (now: RunningProgress) => void },
): Promise<boolean> {
  const settled = new AbortController();
  const view = new LrpView(running.length);
  let timer: NodeJS.Timeout | undefined;
  try {
    const watched = { snapshot: true, kinds: [EventKind.ACTUAL_LRP], processGuids: [name] };
    for await (const item of client.watch({ ...watched, signal: AbortSignal.any([signal, settled.signal]) })) {
      view.take(item);
      if (!view.whole) continue;
      timer ??= setTimeout(() => settled.abort(), ms);
      const now = new Set(view.running().map((lrp) => lrp.instanceGuid));
      if (running.every((lrp) => now.has(lrp.instanceGuid))) continue;
      onProgress(view.progress());
      return false;
    }
  } catch (error) {
    if (!settled.signal.aborted) throw error;
  } finally {
    clearTimeout(timer);
  }
  return settled.signal.aborted;
}

function notRunning(name: string, progress: RunningProgress, crashes: boolean): CliError {
  const of = `${progress.running} of ${count(progress.wanted, 'instance')}`;
  return new CliError(
    EXIT.failed,
    crashes ? `${name} keeps crashing: ${of} running` : `${name}: ${of} came up in time`,
    [...troubles(progress), `See its log:    rivera logs ${name}`, `See its state:  rivera lrp show ${name}`],
  );
}

/** `hello: 1 of 3 running, 1 claimed, 1 unclaimed (insufficient resources)`. */
export function describeProgress(name: string, { running, wanted, instances }: RunningProgress): string {
  const others = new Map<string, number>();
  let trouble = '';
  for (const lrp of instances) {
    if (lrp.state === ActualLrpState.RUNNING) continue;
    const state = instanceState(lrp);
    others.set(state, (others.get(state) ?? 0) + 1);
    trouble ||= troubleOf(lrp);
  }
  const parts = [...others].map(([state, n]) => `, ${n} ${state}`).join('');
  return `${name}: ${running} of ${wanted} running${parts}${trouble === '' ? '' : ` (${trouble})`}`;
}

function troubles({ instances }: RunningProgress): string[] {
  const lines = instances
    .filter((lrp) => troubleOf(lrp) !== '')
    .map((lrp) => `#${lrp.key?.index ?? 0} ${instanceState(lrp)}${times(lrp)}: ${troubleOf(lrp)}`);
  return lines.slice(0, 5);
}

function times({ state, crashCount }: ActualLrp): string {
  return state === ActualLrpState.CRASHED && crashCount > 1 ? ` ${crashCount} times` : '';
}

/** Where the running instances answer. */
export async function showRunning({ out }: Session, name: string, running: readonly ActualLrp[]): Promise<void> {
  if (out.json) {
    for (const lrp of running) await out.line(ActualLrp.toJSON(lrp));
    return;
  }
  await out.note(`${name}: ${count(running.length, 'instance')} running\n`);
  for (const lrp of running) {
    for (const { address, containerPort } of addressesOf(lrp)) {
      await out.data(`${name}/${lrp.key?.index ?? 0}   ${address}   (port ${containerPort})\n`);
    }
  }
}
