import type { Task } from '@rivera/gen/rivera/bbs/v1/task';
import { LogEntry, LogStream } from '@rivera/gen/rivera/rep/v1/container';
import type { RiveraClient } from '@rivera/sdk/client';
import type { Session } from '../session.js';
import { SeenLines } from '../terminal/log-line.js';
import { Progress } from '../terminal/progress.js';
import { untilEnded, waitingText } from './wait-for-task.js';

/** How a Task is followed. */
export interface Following {
  /** Whether its output is shown. */
  logs: boolean;
  /** Milliseconds. */
  waitTimeout?: number;
}

/**
 * Shows the output while the Task runs, and when it has ended, what was written and not shown yet: following stops at the end,
 * and the last lines may still be on their way then.
 */
export async function followToEnd(session: Session, taskGuid: string, options: Following): Promise<Task> {
  const client = await session.client();
  const following = new AbortController();
  const onInterrupt = () => following.abort();
  session.signal.addEventListener('abort', onInterrupt, { once: true });
  const seen = new SeenLines();
  const progress = new Progress(session.out);
  const unstarted: LogEntry[] = [];
  const put = async (entry: LogEntry) => {
    progress.done();
    if (tellsOfNoStart(entry)) unstarted.push(entry);
    else await showEntry(session, entry);
  };
  const show = (follow: boolean, signal: AbortSignal) =>
    options.logs ? showOutput(client, taskGuid, { follow, signal, seen, put }) : Promise.resolve();
  const followed = show(true, following.signal).catch(() => undefined);
  try {
    const ended = await untilEnded(session, taskGuid, {
      timeoutMs: options.waitTimeout,
      onChange: (task) => {
        const waits = waitingText(task);
        if (waits === '') progress.done();
        else if (session.out.watched) progress.show(waits);
      },
    });
    following.abort();
    await followed;
    // The outcome matters more than the last lines: a cell that can't be asked for them does not change it.
    await show(false, session.signal).catch(() => undefined);
    for (const entry of unstarted) if (!repeats(ended, entry)) await showEntry(session, entry);
    return ended;
  } finally {
    progress.done();
    session.signal.removeEventListener('abort', onInterrupt);
    following.abort();
    await followed;
  }
}

interface Showing {
  follow: boolean;
  signal: AbortSignal;
  seen: SeenLines;
  put: (entry: LogEntry) => Promise<void>;
}

async function showOutput(
  client: RiveraClient,
  taskGuid: string,
  { follow, signal, seen, put }: Showing,
): Promise<void> {
  for await (const entry of client.logs({ taskGuid, follow }, { signal })) {
    if (seen.add(entry)) await put(entry);
  }
}

/** As if the command ran here: its stdout is ours. What the cell says about it is not data, and only for somebody who watches. */
async function showEntry({ out }: Session, entry: LogEntry): Promise<void> {
  if (out.json) return out.note(`${JSON.stringify(LogEntry.toJSON(entry))}\n`);
  const line = Buffer.concat([entry.payload, Buffer.from('\n')]);
  if (isRemark(entry)) return out.watched ? out.note(out.noteColours.dim(line.toString('utf8'))) : undefined;
  return entry.stream === LogStream.STDERR ? out.note(line) : out.data(line);
}

const NO_START = 'failed-creating-process: ';

/** The cell's line about a process that could not be started. It is held back, as the reason of the failure mostly says the same. */
function tellsOfNoStart({ payload }: LogEntry): boolean {
  return Buffer.from(payload).toString('utf8').startsWith(NO_START);
}

function repeats({ failureReason }: Task, { payload }: LogEntry): boolean {
  return failureReason.includes(Buffer.from(payload).toString('utf8').slice(NO_START.length));
}

/** What the cell says: under its own source, or, about the end of a process, under the process's. */
function isRemark({ source, payload }: LogEntry): boolean {
  return source === 'CELL' || /^Exit status -?\d+( \(.*\))?$/.test(Buffer.from(payload).toString('utf8'));
}
