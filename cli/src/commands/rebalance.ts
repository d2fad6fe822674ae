import type { RiveraClient } from '@rivera/sdk/client';
import type { Move } from '@rivera/server/auction/rebalance/plan';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { CliError, EXIT } from '../failures.js';
import type { Io } from '../io.js';
import type { Gathered } from '../rebalance/gather.js';
import { moveInstance } from '../rebalance/move.js';
import { parseCount, parseMilliseconds } from '../recipe/quantities.js';
import type { Session } from '../session.js';
import { Progress } from '../terminal/progress.js';
import { renderTable } from '../terminal/table.js';
import { count } from '../terminal/text.js';
import { formatTook } from '../terminal/time.js';
import { confirmed } from './confirm.js';
import { lateAfter } from './waiting.js';

interface Options {
  dryRun?: boolean;
  yes?: boolean;
  maxMoves?: number;
  moveTimeout?: number;
}

/** A replacement may have to fetch its image and start slowly. */
const MOVE_MS = 300_000;
const MOST_MOVES = 1_000_000;

/** `rivera rebalance`: cells that joined get their part of what runs. */
export function addRebalance(program: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    program.command('rebalance').description('move instances until cells are evenly full, one at a time'),
  )
    .option('--dry-run', 'only show what would be moved')
    .option('--max-moves <n>', 'move at most so many', parseCount('--max-moves', 1, MOST_MOVES))
    .option('--move-timeout <time>', 'give up when a replacement does not run in time (default 5m)', (text: string) =>
      parseMilliseconds(text),
    )
    .option('-y, --yes', 'do not ask');
  examples(
    command,
    ['rivera rebalance --dry-run', 'what would be moved where'],
    ['rivera rebalance --max-moves 20', 'the twenty moves that help most; asks first'],
    ['rivera rebalance --yes', 'for scripts'],
  );
  command.addHelpText(
    'after',
    '\nEach instance is stopped once its replacement runs. Ctrl-C ends it after the move that has begun, which the servers finish.',
  );
  perform<Options>(command, io, outcome, async (session, _, options) => {
    const { out, signal } = session;
    const client = await session.client();
    const { gather } = await import('../rebalance/gather.js');
    const { planRebalance } = await import('@rivera/server/auction/rebalance/plan');
    const snapshot = await gather(client, signal);
    const moves = planRebalance(snapshot, options.maxMoves);
    if (!out.json) await describe(session, snapshot, moves);
    if (options.dryRun || moves.length === 0) {
      if (out.json) for (const move of moves) await out.line(toJson(move));
      return undefined;
    }
    const question = `Move ${count(moves.length, 'instance')}, one after the other?`;
    if (!options.yes && !(await confirmed(session, question))) {
      throw new CliError(EXIT.failed, 'nothing was moved');
    }
    return carryOut(session, client, moves, options.moveTimeout ?? MOVE_MS);
  });
}

async function describe({ out }: Session, { bids, recreated }: Gathered, moves: readonly Move[]): Promise<void> {
  if (moves.length === 0) await out.note('Nothing to move: no move would make the cells more even.\n');
  if (recreated > 0) {
    await out.note(
      `${count(recreated, 'instance')} of RECREATE LRPs stay where they are: they would be down meanwhile.\n`,
    );
  }
  if (moves.length === 0) return;
  const rows = moves.map(({ instance, to }) => [nameOf(instance), instance.cellId, to]);
  await out.data(renderTable(['instance', 'from', 'to'], rows));
  const before = new Map(bids.filter((bid) => !bid.evacuating).map((bid) => [bid.cellId, bid.held.length]));
  const after = new Map(before);
  for (const { instance, to } of moves) {
    after.set(instance.cellId, (after.get(instance.cellId) ?? 0) - 1);
    after.set(to, (after.get(to) ?? 0) + 1);
  }
  await out.note(`Instances per cell: ${rangeOf(before)} now, ${rangeOf(after)} then.\n`);
}

function rangeOf(counts: ReadonlyMap<string, number>): string {
  const sorted = [...counts.values()].sort((a, b) => a - b);
  return `${sorted[0] ?? 0} to ${sorted.at(-1) ?? 0}`;
}

/** One move after the other; the first that does not come to an end ends it all, as what is wrong there is likely wrong everywhere. */
async function carryOut(
  session: Session,
  client: RiveraClient,
  moves: readonly Move[],
  timeoutMs: number,
): Promise<number> {
  const { out, signal } = session;
  const progress = new Progress(out);
  let moved = 0;
  let left = 0;
  try {
    for (const [n, move] of moves.entries()) {
      const { instance } = move;
      progress.show(`${n + 1} of ${moves.length}: ${nameOf(instance)} from ${instance.cellId}`);
      const result = await moveInstance(client, instance, { signal, late: lateAfter(timeoutMs) });
      if (out.json) await out.line({ ...toJson(move), ...result });
      if (result.kind === 'late') {
        throw new CliError(
          EXIT.failed,
          `${nameOf(instance)} has not moved after ${formatTook(timeoutMs)}: ${result.why}`,
          [
            `It goes on where it was, and moves as soon as it can. ${movedText(moved)}`,
            `  rivera explain ${nameOf(instance)}`,
          ],
        );
      }
      if (result.kind === 'moved') moved++;
      else {
        left++;
        if (!out.json) await out.note(`${nameOf(instance)} was left where it is: ${result.why}\n`);
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    progress.done();
    await out.note(`${movedText(moved)} What has begun is finished by the servers; nothing more is begun.\n`);
    throw error;
  } finally {
    progress.done();
  }
  if (!out.json) await out.note(`${movedText(moved)}${left > 0 ? ` ${left} left where they were.` : ''}\n`);
  return EXIT.ok;
}

function movedText(moved: number): string {
  return `${count(moved, 'instance')} moved.`;
}

function nameOf({ processGuid, index }: Move['instance']): string {
  return `${processGuid}/${index}`;
}

function toJson({ instance, to }: Move): object {
  const { processGuid, index, instanceGuid, cellId } = instance;
  return { processGuid, index, instanceGuid, from: cellId, to };
}
