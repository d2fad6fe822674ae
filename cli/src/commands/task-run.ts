import { Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { EXIT } from '../failures.js';
import type { Io } from '../io.js';
import { readDocument } from '../recipe/document.js';
import { parseMilliseconds } from '../recipe/quantities.js';
import { type TaskFlags, taskRequest } from '../recipe/task-spec.js';
import type { Session } from '../session.js';
import { oneLine } from '../terminal/text.js';
import { ageOf } from '../terminal/time.js';
import { hasEnded, taskState } from './states.js';
import { followToEnd } from './task-follow.js';
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
    withConnection(
      parent
        .command('run')
        .argument('[command...]', 'what to run, behind --')
        .description('run a command once, in a container'),
    ),
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
  await tellOfBefore(session, task);
  if (!options.wait) {
    await (out.json ? out.line(Task.toJSON(task)) : out.data(`${task.taskGuid}\n`));
    return EXIT.ok;
  }
  if (out.watched && !out.json) await out.note(out.noteColours.dim(`task ${task.taskGuid}\n`));
  const ended = await followToEnd(session, task.taskGuid, { ...options, logs: options.logs && !hasEnded(task) });
  if (out.json) await out.line(Task.toJSON(ended));
  else if (ended.result !== '') await out.data(ended.result.endsWith('\n') ? ended.result : `${ended.result}\n`);
  if (options.rm) await removeTask(session, ended.taskGuid, false);
  if (!ended.failed) return EXIT.ok;
  if (!out.json) await out.note(`${out.noteColours.red('failed:')} ${oneLine(ended.failureReason)}\n`);
  return EXIT.failed;
}

/** Asking again for the same Task is no mistake, and runs nothing: who reads no output should know why. */
async function tellOfBefore({ out, io }: Session, task: Task): Promise<void> {
  const { taskGuid: name } = task;
  if (hasEnded(task)) {
    const ago = ageOf(task.firstCompletedAt ?? task.createdAt, io.now());
    await out.note(
      `${name} ended ${ago} ago (${taskState(task)}) and was not run again. To run it again: rivera task rm ${name}, or another --name.\n`,
    );
  } else if (task.state === TaskState.RUNNING) {
    await out.note(`${name} was running already; nothing new was started.\n`);
  }
}
