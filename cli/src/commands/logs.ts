import { DesiredLrpView } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { LogEntry } from '@rivera/gen/rivera/rep/v1/container';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { isAnswer } from '../describe.js';
import { CliError, EXIT, usageError } from '../failures.js';
import type { Io } from '../io.js';
import { parseCount, parseMilliseconds, parseSlots } from '../recipe/quantities.js';
import type { Session } from '../session.js';
import { formatLogLine } from '../terminal/log-line.js';
import { count, nearest } from '../terminal/text.js';
import { firstNames } from './names.js';

interface Options {
  index?: number;
  follow?: boolean;
  tail?: number;
  source?: string;
  since?: number;
  task?: boolean;
  lrp?: boolean;
}

/** `rivera logs NAME`: what the containers of an LRP or Task wrote. */
export function addLogs(program: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    program
      .command('logs')
      .argument('<name>', 'an LRP (NAME, NAME/INDEX) or a task')
      .description('what containers wrote'),
  )
    .option('-i, --index <n>', 'only of this instance', parseCount('--index', 0, 9_999))
    .option('-f, --follow', 'go on until interrupted')
    .option('-n, --tail <n>', 'at most so many of the lines that are kept', parseCount('--tail', 1, 1_000_000))
    .option('--since <time>', 'only of the last, e.g. 5m', (text: string) => parseMilliseconds(text))
    .option('--source <type>', 'only of this source, e.g. APP, CELL, HEALTH')
    .option('--lrp', 'the name is an LRP, even if it is gone')
    .option('--task', 'the name is a task, even if it is gone');
  examples(
    command,
    ['rivera logs hello', 'what is kept'],
    ['rivera logs hello/1 -f --tail 20', 'the second instance, as it writes'],
    ['rivera logs hello --json | jq -r .text', 'the lines alone'],
  );
  perform<Options>(command, io, outcome, async (session, [name = ''], options) => {
    if (options.lrp && options.task) throw usageError('--lrp and --task exclude each other');
    const target = parseSlots(name);
    const isTask = await meansTask(session, target.processGuid, options);
    const index = options.index ?? target.index;
    const client = await session.client();
    const lines = client.logs(
      {
        ...(isTask ? { taskGuid: target.processGuid } : { processGuid: target.processGuid }),
        ...(index === undefined ? {} : { index }),
        ...(options.since === undefined ? {} : { since: new Date(io.now() - options.since) }),
        source: options.source ?? '',
        tail: options.tail ?? 0,
        follow: options.follow ?? false,
      },
      {
        signal: session.signal,
        onGap: ({ dropped, unreachableCells }) => {
          if (dropped > 0) void session.out.note(`(${count(dropped, 'line')} lost here)\n`);
          for (const [cell, why] of Object.entries(unreachableCells)) {
            void session.out.note(`(no lines from cell ${cell}: ${why})\n`);
          }
        },
      },
    );
    for await (const entry of lines) await show(session, entry);
    return undefined;
  });
}

function show({ out }: Session, entry: LogEntry): Promise<void> {
  if (!out.json) return out.data(`${formatLogLine(entry, out.colours)}\n`);
  const json = LogEntry.toJSON(entry);
  return out.line({ ...(typeof json === 'object' ? json : {}), text: Buffer.from(entry.payload).toString('utf8') });
}

/**
 * Whether the name is a Task's. An LRP comes first, as its logs are what is asked for mostly.
 * @throws CliError (answered) when it is neither
 */
async function meansTask(session: Session, name: string, { lrp, task }: Options): Promise<boolean> {
  if (lrp || task) return task === true;
  const client = await session.client();
  const { signal } = session;
  if (await exists(client.desiredLrps.get(name, DesiredLrpView.ROUTING, { signal }))) return false;
  if (await exists(client.tasks.get(name, { signal }))) return true;
  const names = await Promise.all([firstNames(client, 'lrp'), firstNames(client, 'task')]).catch(() => []);
  const meant = nearest(name, names.flat());
  throw new CliError(EXIT.answered, `there is no LRP or task '${name}'`, [
    ...(meant === undefined ? [] : [`Did you mean '${meant}'?`]),
    'Logs of what has been removed:  rivera logs --lrp NAME, rivera logs --task NAME',
  ]);
}

async function exists(lookup: Promise<unknown>): Promise<boolean> {
  try {
    await lookup;
    return true;
  } catch (error) {
    if (isAnswer(error) && error.codeName === 'NOT_FOUND') return false;
    throw error;
  }
}
