import { ActualLrp, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { RunningProgress } from '@rivera/sdk/client';
import type { Command } from 'commander';
import { isAnswer } from '../describe.js';
import { CliError, EXIT } from '../failures.js';
import { parseMilliseconds } from '../recipe/quantities.js';
import type { Session } from '../session.js';
import { Progress } from '../terminal/progress.js';
import { count } from '../terminal/text.js';
import { addressesOf, instanceState, troubleOf } from './states.js';

/** Options of commands that wait for instances. */
export interface Waiting {
  wait: boolean;
  /** Milliseconds. */
  waitTimeout?: number;
}

/** Time for instances to come up, unless said otherwise. */
const WAIT_MS = 120_000;

export function withWaiting(command: Command): Command {
  return command
    .option('--no-wait', 'do not wait until the instances run')
    .option('--wait-timeout <time>', 'give up waiting after this time (default 2m)', (text: string) =>
      parseMilliseconds(text),
    );
}

/**
 * Waits until so many instances run, showing how far it is.
 * @throws CliError (failed) when they do not in time, with what keeps them
 */
export async function untilRunning(
  session: Session,
  name: string,
  wanted: { instances: number; timeoutMs: number | undefined },
): Promise<ActualLrp[]> {
  const client = await session.client();
  const progress = new Progress(session.out);
  let last: RunningProgress | undefined;
  try {
    const running = await client.actualLrps.waitForRunning(name, {
      instances: wanted.instances,
      signal: session.signal,
      timeoutMs: wanted.timeoutMs ?? WAIT_MS,
      onProgress: (now) => {
        last = now;
        progress.show(describeProgress(name, now));
      },
    });
    return running.slice(0, wanted.instances);
  } catch (error) {
    if (!isAnswer(error) || error.codeName !== 'DEADLINE_EXCEEDED' || error.reason !== '' || last === undefined)
      throw error;
    throw new CliError(EXIT.failed, `${name}: ${last.running} of ${count(last.wanted, 'instance')} came up in time`, [
      ...troubles(last),
      `See its log:    rivera logs ${name}`,
      `See its state:  rivera lrp show ${name}`,
    ]);
  } finally {
    progress.done();
  }
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
    .map((lrp) => `#${lrp.key?.index ?? 0} ${instanceState(lrp)}: ${troubleOf(lrp)}`);
  return lines.slice(0, 5);
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
