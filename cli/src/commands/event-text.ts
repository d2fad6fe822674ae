import type { ActualLrp } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { Cell } from '@rivera/gen/rivera/bbs/v1/cell';
import type { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { Event } from '@rivera/gen/rivera/bbs/v1/event';
import type { SnapshotRecord } from '@rivera/gen/rivera/bbs/v1/event_service';
import type { Task } from '@rivera/gen/rivera/bbs/v1/task';
import { count, oneLine } from '../terminal/text.js';
import { addressesOf, cellState, instanceState, taskState, troubleOf } from './states.js';

/** An event or record in three words or so. */
export interface EventText {
  /** As the reference names it: `task_created`, `actual_lrp_changed` … */
  type: string;
  /** What it is about. */
  subject: string;
  /** What happened. */
  what: string;
}

/** What a record of the snapshot says. */
export function describeRecord({ record }: SnapshotRecord): EventText {
  switch (record?.$case) {
    case 'task':
      return { type: 'task', subject: record.value.taskGuid, what: taskText(record.value) };
    case 'desiredLrp':
      return { type: 'desired_lrp', subject: record.value.processGuid, what: desiredText(record.value) };
    case 'actualLrp':
      return { type: 'actual_lrp', subject: slot(record.value), what: actualText(record.value) };
    case 'cell':
      return { type: 'cell', subject: record.value.presence?.cellId ?? '', what: cellText(record.value) };
    case undefined:
      return unknown();
  }
}

/** What an event says. */
export function describeEvent({ event }: Event): EventText {
  switch (event?.$case) {
    case 'taskCreated':
    case 'taskRemoved': {
      const { task } = event.value;
      return { type: snake(event.$case), subject: task?.taskGuid ?? '', what: task ? taskText(task) : '' };
    }
    case 'taskChanged':
      return change('task_changed', event.value, (task) => task.taskGuid, taskText);
    case 'desiredLrpCreated':
    case 'desiredLrpRemoved': {
      const lrp = event.value.desiredLrp;
      return { type: snake(event.$case), subject: lrp?.processGuid ?? '', what: lrp ? desiredText(lrp) : '' };
    }
    case 'desiredLrpChanged':
      return change('desired_lrp_changed', event.value, (lrp) => lrp.processGuid, desiredText);
    case 'actualLrpCreated':
    case 'actualLrpRemoved': {
      const lrp = event.value.actualLrp;
      return { type: snake(event.$case), subject: lrp ? slot(lrp) : '', what: lrp ? actualText(lrp) : '' };
    }
    case 'actualLrpChanged':
      return change('actual_lrp_changed', event.value, slot, actualText);
    case 'actualLrpCrashed': {
      const { key, crashCount, crashReason, cellId } = event.value;
      const what = `crash ${crashCount} on ${cellId}: ${oneLine(crashReason)}`;
      return { type: 'actual_lrp_crashed', subject: `${key?.processGuid ?? ''}/${key?.index ?? 0}`, what };
    }
    case 'cellChanged':
      return change('cell_changed', event.value, (cell) => cell.presence?.cellId ?? '', cellText);
    case 'cellRemoved':
      return { type: 'cell_removed', subject: event.value.cell?.presence?.cellId ?? '', what: '' };
    case undefined:
      return unknown();
  }
}

/** `before → after`, or once when the words are the same. */
function change<T>(
  type: string,
  { before, after }: { before: T | undefined; after: T | undefined },
  subject: (record: T) => string,
  text: (record: T) => string,
): EventText {
  const record = after ?? before;
  const [was, is] = [before, after].map((side) => (side === undefined ? '' : text(side)));
  const what = was === '' || was === is ? is : `${was} → ${is}`;
  return { type, subject: record === undefined ? '' : subject(record), what: what ?? '' };
}

function taskText(task: Task): string {
  const where = task.cellId === '' ? '' : ` on ${task.cellId}`;
  const why = oneLine(task.failureReason || task.rejectionReason);
  return `${taskState(task)}${where}${why === '' ? '' : ` (${why})`}${untold(task)}`;
}

/** That somebody could not be told of the end is a change that would not be seen in the state. */
function untold({ callback }: Task): string {
  if (callback === undefined || callback.lastError === '') return '';
  const outcome = callback.givenUpAt === undefined ? `failed ${count(callback.attempts, 'time')}` : 'given up';
  return callback.attempts === 0 ? ', callback tried anew' : `, callback ${outcome} (${oneLine(callback.lastError)})`;
}

function desiredText(lrp: DesiredLrp): string {
  return `${lrp.instances} wanted`;
}

function actualText(lrp: ActualLrp): string {
  const where = lrp.cellId === '' ? '' : ` on ${lrp.cellId}`;
  const at = addressesOf(lrp)
    .map(({ address }) => ` at ${address}`)
    .join(',');
  const trouble = troubleOf(lrp);
  return `${instanceState(lrp)}${where}${at}${trouble === '' ? '' : ` (${trouble})`}`;
}

function cellText(cell: Cell): string {
  return cellState(cell.state);
}

function slot(lrp: ActualLrp): string {
  return `${lrp.key?.processGuid ?? ''}/${lrp.key?.index ?? 0}`;
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Of a newer server. */
function unknown(): EventText {
  return { type: 'unknown', subject: '', what: 'this rivera is older than the server' };
}
