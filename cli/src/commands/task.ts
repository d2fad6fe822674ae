import { Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { usageError } from '../failures.js';
import type { Io } from '../io.js';
import { renderPairs, renderTable } from '../terminal/table.js';
import { nearest, oneLine } from '../terminal/text.js';
import { ageOf, formatTimestamp } from '../terminal/time.js';
import { callbackText } from './callback-text.js';
import { withSuggestion } from './names.js';
import { coloured, hasEnded, taskState } from './states.js';
import { removeTask } from './task-remove.js';
import { addRetryCallback } from './task-retry-callback.js';
import { addTaskRun } from './task-run.js';

/** `rivera task …`: work that runs once. */
export function addTask(program: Command, io: Io, outcome: Outcome): void {
  const task = program.command('task').description('work that runs at most once').enablePositionalOptions();
  addTaskRun(task, io, outcome);
  addList(task, io, outcome);
  addShow(task, io, outcome);
  addCancel(task, io, outcome);
  addRetryCallback(task, io, outcome);
  addRemove(task, io, outcome);
}

/** What `--state` chooses: states of the API and, of Tasks that have ended, how they did; undefined: either way. */
interface Choice {
  states: readonly TaskState[];
  failed?: boolean;
}

const ENDED = [TaskState.COMPLETED, TaskState.RESOLVING] as const;
const CHOICES: Readonly<Record<string, Choice>> = {
  pending: { states: [TaskState.PENDING] },
  running: { states: [TaskState.RUNNING] },
  succeeded: { states: ENDED, failed: false },
  failed: { states: ENDED, failed: true },
  completed: { states: [TaskState.COMPLETED] },
  resolving: { states: [TaskState.RESOLVING] },
};

interface ListOptions {
  domain?: string;
  cell?: string;
  state?: Choice;
  deadLetters?: boolean;
}

const COLUMNS = ['name', 'domain', 'state', 'age', 'cell', 'outcome'];
const LETTER_COLUMNS = [
  'name',
  'domain',
  'state',
  'given up',
  { title: 'attempts', align: 'right' as const },
  'last error',
];

function addList(task: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(task.command('list').alias('ls').description('list tasks'))
    .option('--domain <domain>', 'only of this domain')
    .option('--cell <id>', 'only on this cell')
    .option('--dead-letters', 'only those of which nobody could be told that they have ended')
    .option('--state <state>', `only in this state: ${Object.keys(CHOICES).join(', ')}`, parseState);
  examples(
    command,
    ['rivera task list --state running', 'what runs now'],
    ['rivera task list --json | wc -l', 'count them'],
    ['rivera task list --dead-letters', 'whose callback was given up, and why'],
  );
  perform<ListOptions>(command, io, outcome, async (session, _, options) => {
    const client = await session.client();
    const filter = {
      domain: options.domain ?? '',
      cellId: options.cell ?? '',
      states: [...(options.state?.states ?? [])],
      deadLetters: options.deadLetters ?? false,
    };
    const failed = options.state?.failed;
    const rows: string[][] = [];
    for await (const item of client.tasks.list(filter, { signal: session.signal })) {
      if (failed !== undefined && item.failed !== failed) continue;
      if (session.out.json) await session.out.line(Task.toJSON(item));
      else rows.push(row(item));
    }
    if (session.out.json) return undefined;
    if (rows.length === 0) await session.out.note('No tasks found.\n');
    else await session.out.data(renderTable(options.deadLetters ? LETTER_COLUMNS : COLUMNS, rows));
    return undefined;

    function row(item: Task): string[] {
      const state = coloured(taskState(item), session.out.colours);
      if (options.deadLetters) {
        const { givenUpAt, attempts = 0, lastError = '' } = item.callback ?? {};
        const error = session.out.fit(oneLine(lastError), 80);
        return [item.taskGuid, item.domain, state, ageOf(givenUpAt, io.now()), String(attempts), error];
      }
      const ended = item.failed ? item.failureReason : hasEnded(item) ? item.result : item.rejectionReason;
      const age = ageOf(item.createdAt, io.now());
      return [item.taskGuid, item.domain, state, age, item.cellId, session.out.fit(oneLine(ended), 60)];
    }
  });
}

function parseState(text: string): Choice {
  const choice = CHOICES[text.toLowerCase()];
  if (choice !== undefined) return choice;
  const meant = nearest(text, Object.keys(CHOICES));
  throw usageError(
    `'${text}' is not a state of tasks`,
    meant ? `Did you mean '${meant}'?` : `One of: ${Object.keys(CHOICES).join(', ')}`,
  );
}

function addShow(task: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(task.command('show').argument('<name>', 'of the task').description('show one task'));
  examples(
    command,
    ['rivera task show nightly', 'state, result, failure'],
    ['rivera task show nightly --json | jq -r .result', 'its result'],
  );
  perform(command, io, outcome, async (session, [name = '']) => {
    const found = await withSuggestion(session, 'task', name, (client) => client.tasks.get(name));
    if (session.out.json) await session.out.line(Task.toJSON(found));
    else await session.out.data(describeTask(found, io.now()));
    return undefined;
  });
}

/** Everything that people want to know of a Task. */
export function describeTask(task: Task, nowMs: number): string {
  const when = (moment: Date | undefined) =>
    moment === undefined ? undefined : `${formatTimestamp(moment)} (${ageOf(moment, nowMs)} ago)`;
  const needs = task.requirements;
  return renderPairs([
    ['name', task.taskGuid],
    ['domain', task.domain],
    ['state', taskState(task)],
    ['created', when(task.createdAt)],
    ['completed', when(task.firstCompletedAt)],
    ['cell', task.cellId],
    ['root filesystem', needs?.rootFs],
    ['memory', needs && `${needs.memoryMb} MiB`],
    ['disk', needs && `${needs.diskMb} MiB`],
    ['failure', oneLine(task.failureReason)],
    ['not placed', task.rejectionReason && `${oneLine(task.rejectionReason)} (${task.rejectionCount} times)`],
    ['next attempt', when(task.nextAttemptAt)],
    ['callback', callbackText(task, nowMs)],
    ['annotation', oneLine(task.annotation)],
    ['result', oneLine(task.result)],
  ]);
}

function addCancel(task: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    task.command('cancel').argument('<name>', 'of the task').description('end a task that has not ended'),
  );
  examples(command, ['rivera task cancel nightly', 'it ends as failed']);
  perform(command, io, outcome, async (session, [name = '']) => {
    const cancelled = await withSuggestion(session, 'task', name, (client) => client.tasks.cancel(name));
    if (session.out.json) await session.out.line(Task.toJSON(cancelled));
    return undefined;
  });
}

function addRemove(task: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    task.command('rm').argument('<name...>', 'of the tasks').description('forget tasks that have ended'),
  ).option('--force', 'cancel those that have not ended');
  examples(command, ['rivera task rm nightly', 'forget it'], ['rivera task rm --force a b', 'whatever they are doing']);
  perform<{ force?: boolean }>(command, io, outcome, async (session, names, { force = false }) => {
    for (const name of names) await withSuggestion(session, 'task', name, () => removeTask(session, name, force));
    return undefined;
  });
}
