import { setTimeout as sleep } from 'node:timers/promises';
import { ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { RiveraClient } from '@rivera/sdk/client';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { isAnswer } from '../describe.js';
import { CliError, EXIT } from '../failures.js';
import type { Io } from '../io.js';
import type { Session } from '../session.js';
import { Progress } from '../terminal/progress.js';
import { count } from '../terminal/text.js';
import { formatTook } from '../terminal/time.js';
import { withSuggestion } from './names.js';
import { troubleOf } from './states.js';
import { lateAfter, type Waiting, withWaiting } from './waiting.js';

/** Instances may take minutes to start, and go only once their replacements run. */
const DRAIN_MS = 600_000;
const POLL_MS = 500;

/** `rivera cells evacuate`: empties a cell before its machine is worked on. */
export function addEvacuate(cells: Command, io: Io, outcome: Outcome): void {
  const command = withWaiting(
    withConnection(
      cells.command('evacuate').argument('<id>', 'of the cell').description('move the work of a cell elsewhere'),
    ),
    { until: 'the cell is empty', limit: '10m' },
  );
  examples(
    command,
    ['rivera cells evacuate cell-1', 'and wait until its instances run elsewhere'],
    ['rivera cells evacuate cell-1 --wait-timeout 1h', 'with patience'],
    ['rivera cells evacuate cell-1 --no-wait', 'only begin'],
  );
  perform<Waiting>(command, io, outcome, async (session, [cellId = ''], { wait, waitTimeout = DRAIN_MS }) => {
    await withSuggestion(session, 'cell', cellId, (client) =>
      client.cells.evacuate(cellId, { signal: session.signal }),
    );
    if (!wait) {
      await session.out.note(`${cellId} is being evacuated. See how far it is:  rivera cells show ${cellId}\n`);
      return undefined;
    }
    const drain = await untilEmpty(session, cellId, waitTimeout);
    if (session.out.json) await session.out.line({ cellId, ...drain.counts });
    else await session.out.note(`${cellId} is empty: ${count(drain.counts.moved, 'instance')} moved\n`);
    return undefined;
  });
}

/** How far a cell has been emptied. */
interface DrainCounts {
  /** Instances that it had and has no more. */
  moved: number;
  /** Instances that it still has. */
  left: number;
  /** Replacements that no cell has taken yet. */
  waiting: number;
  /** Tasks that it still runs. */
  tasks: number;
}

/**
 * Waits until nothing is left on the cell and everything that was there has a cell again.
 * @throws CliError (failed) when that is not so in time, with what keeps it
 */
async function untilEmpty(session: Session, cellId: string, timeoutMs: number): Promise<Drain> {
  const late = lateAfter(timeoutMs);
  const signal = AbortSignal.any([session.signal, late]);
  const drain = new Drain(await session.client(), cellId);
  const progress = new Progress(session.out);
  try {
    for (;;) {
      await drain.look(signal);
      if (drain.isOver) return drain;
      progress.show(`${cellId}: ${drain}`);
      await sleep(POLL_MS, undefined, { signal });
    }
  } catch (error) {
    if (!late.aborted || session.signal.aborted) throw error;
    const why = drain.trouble === '' ? [] : [`A replacement has no cell: ${drain.trouble}`];
    const next = [...why, 'It goes on. See how far it is:', `  rivera cells show ${cellId}`];
    const message = `${cellId} is not empty after ${formatTook(timeoutMs)}: ${drain}`;
    throw new CliError(EXIT.failed, message, next, { cause: error });
  } finally {
    progress.done();
  }
}

/** A cell that is being emptied, as the BBS sees it. */
class Drain {
  readonly counts: DrainCounts = { moved: 0, left: 0, waiting: 0, tasks: 0 };
  /** What keeps the first replacement that has no cell. */
  trouble = '';
  /** The slots that were seen on the cell. */
  readonly #slots = new Set<string>();

  constructor(
    private readonly client: RiveraClient,
    private readonly cellId: string,
  ) {}

  get isOver(): boolean {
    const { left, waiting, tasks } = this.counts;
    return left + waiting + tasks === 0;
  }

  async look(signal: AbortSignal): Promise<void> {
    const { client, cellId, counts } = this;
    counts.left = 0;
    for await (const { key } of client.actualLrps.list({ cellId }, { signal })) {
      counts.left++;
      this.#slots.add(`${key?.processGuid}/${key?.index}`);
    }
    counts.waiting = 0;
    this.trouble = '';
    for await (const lrp of client.actualLrps.list({ states: [ActualLrpState.UNCLAIMED] }, { signal })) {
      const isOurs = this.#slots.has(`${lrp.key?.processGuid}/${lrp.key?.index}`);
      if (!isOurs || lrp.presence !== ActualLrpPresence.ORDINARY) continue;
      counts.waiting++;
      this.trouble ||= troubleOf(lrp);
    }
    counts.tasks = await tasksOn(client, cellId, signal);
    counts.moved = this.#slots.size - counts.left;
  }

  /** `12 of 40 instances left, 3 waiting for a cell, 1 task`. */
  toString(): string {
    const { left, waiting, tasks } = this.counts;
    const parts = [`${left} of ${count(this.#slots.size, 'instance')} left`];
    if (waiting > 0) parts.push(`${waiting} waiting for a cell`);
    if (tasks > 0) parts.push(count(tasks, 'task'));
    return parts.join(', ');
  }
}

/** An agent ends when its cell is empty: one that is gone has no Tasks. */
async function tasksOn(client: RiveraClient, cellId: string, signal: AbortSignal): Promise<number> {
  try {
    return (await client.cells.get(cellId, { signal })).tasks;
  } catch (error) {
    if (isAnswer(error) && error.codeName === 'NOT_FOUND') return 0;
    throw error;
  }
}
