import { Task } from '@rivera/gen/rivera/bbs/v1/task';
import { LogEntry, LogStream } from '@rivera/gen/rivera/rep/v1/container';
import type { RiveraClient } from '@rivera/sdk/client';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { EXIT } from '../failures.js';
import type { Io } from '../io.js';
import { readDocument } from '../recipe/document.js';
import { parseMilliseconds } from '../recipe/quantities.js';
import { type TaskFlags, taskRequest } from '../recipe/task-spec.js';
import type { Session } from '../session.js';
import { SeenLines } from '../terminal/log-line.js';
import { oneLine } from '../terminal/text.js';
import { removeTask } from './task-remove.js';
import { withWork } from './work-options.js';

interface Options extends TaskFlags {
  file?: string;
  wait: boolean;
  logs: boolean;
  rm?: boolean;
  waitTimeout?: number;
}

/** `rivera task run`: desires a Task and, unless told otherwise, stays with it to its end. */
export function addTaskRun(parent: Command, io: Io, outcome: Outcome): void {
  const command = withWork(
    withConnection(parent.command('run').argument('[command...]').description('run a command once, in a container')),
  )
    .passThroughOptions()
    .option('--name <guid>', 'name of the task (default: a new one)')
    .option('--result-file <path>', 'file in the container that becomes the result')
    .option('--callback <url>', 'told by POST when the task has ended')
    .option('--no-wait', 'return once it is desired; prints its name')
    .option('--no-logs', 'do not show its output while waiting')
    .option('--wait-timeout <time>', 'give up waiting after this time (default: never)', (text: string) =>
      parseMilliseconds(text),
    )
    .option('--rm', 'forget the task when it has ended');
  examples(
    command,
    ["rivera task run -- sh -c 'echo hello'", 'run it, show its output'],
    ["rivera task run --result-file /tmp/r -- sh -c 'date > /tmp/r'", 'print what it leaves in the file'],
    ['rivera task run --no-wait --name nightly -f job.yaml', 'desire it and go'],
  );
  command.addHelpText(
    'after',
    '\nOutput of the command goes to stdout and stderr; the result file, if any, to stdout at the end.\nExit code 0 when it succeeded, 1 when it failed.',
  );
  perform<Options>(command, io, outcome, runTask);
}

async function runTask(session: Session, words: readonly string[], options: Options): Promise<number | undefined> {
  const { io, out } = session;
  const command = words[0] === '--' ? words.slice(1) : words;
  const file =
    options.file === undefined ? undefined : { document: await readDocument(options.file, io), source: options.file };
  const request = taskRequest(options, command, file, io.env);
  const client = await session.client();
  const task = await client.tasks.desire(request, { signal: session.signal });
  if (!options.wait) {
    await (out.json ? out.line(Task.toJSON(task)) : out.data(`${task.taskGuid}\n`));
    return EXIT.ok;
  }
  if (out.watched && !out.json) await out.note(out.noteColours.dim(`task ${task.taskGuid}\n`));
  const ended = await untilEnded(session, client, task.taskGuid, options);
  if (out.json) await out.line(Task.toJSON(ended));
  else if (ended.result !== '') await out.data(ended.result.endsWith('\n') ? ended.result : `${ended.result}\n`);
  if (options.rm) await removeTask(session, ended.taskGuid, false);
  if (!ended.failed) return EXIT.ok;
  if (!out.json) await out.note(`${out.noteColours.red('failed:')} ${oneLine(ended.failureReason)}\n`);
  return EXIT.failed;
}

/**
 * Shows the output while the Task runs, and when it has ended, what was written and not shown yet: following stops at the end,
 * and the last lines may still be on their way then.
 */
async function untilEnded(session: Session, client: RiveraClient, taskGuid: string, options: Options): Promise<Task> {
  const following = new AbortController();
  const onInterrupt = () => following.abort();
  session.signal.addEventListener('abort', onInterrupt, { once: true });
  const seen = new SeenLines();
  const show = (follow: boolean, signal: AbortSignal) =>
    options.logs ? showOutput(session, client, taskGuid, { follow, signal, seen }) : Promise.resolve();
  const followed = show(true, following.signal).catch(() => undefined);
  try {
    const ended = await client.tasks.waitForCompletion(taskGuid, {
      signal: session.signal,
      timeoutMs: options.waitTimeout ?? Number.POSITIVE_INFINITY,
    });
    following.abort();
    await followed;
    // The outcome matters more than the last lines: a cell that can't be asked for them does not change it.
    await show(false, session.signal).catch(() => undefined);
    return ended;
  } finally {
    session.signal.removeEventListener('abort', onInterrupt);
    following.abort();
    await followed;
  }
}

async function showOutput(
  session: Session,
  client: RiveraClient,
  taskGuid: string,
  { follow, signal, seen }: { follow: boolean; signal: AbortSignal; seen: SeenLines },
): Promise<void> {
  for await (const entry of client.logs({ taskGuid, follow }, { signal })) {
    if (seen.add(entry)) await showEntry(session, entry);
  }
}

/** As if the command ran here: its stdout is ours. What the cell says about it is not data, and only for somebody who watches. */
async function showEntry({ out }: Session, entry: LogEntry): Promise<void> {
  if (out.json) return out.note(`${JSON.stringify(LogEntry.toJSON(entry))}\n`);
  const line = Buffer.concat([entry.payload, Buffer.from('\n')]);
  if (isRemark(entry)) return out.watched ? out.note(out.noteColours.dim(line.toString('utf8'))) : undefined;
  return entry.stream === LogStream.STDERR ? out.note(line) : out.data(line);
}

/** What the cell says: under its own source, or, about the end of a process, under the process's. */
function isRemark({ source, payload }: LogEntry): boolean {
  return source === 'CELL' || /^Exit status -?\d+( \(.*\))?$/.test(Buffer.from(payload).toString('utf8'));
}
