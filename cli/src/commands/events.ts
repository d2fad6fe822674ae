import { Event, EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import { SnapshotRecord } from '@rivera/gen/rivera/bbs/v1/event_service';
import type { WatchItem } from '@rivera/sdk/client';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { usageError } from '../failures.js';
import type { Io } from '../io.js';
import type { Output } from '../terminal/output.js';
import { nearest } from '../terminal/text.js';
import { formatTimestamp } from '../terminal/time.js';
import { describeEvent, describeRecord, type EventText } from './event-text.js';
import { collect } from './work-options.js';

const KINDS: Readonly<Record<string, EventKind>> = {
  task: EventKind.TASK,
  desired_lrp: EventKind.DESIRED_LRP,
  actual_lrp: EventKind.ACTUAL_LRP,
  cell: EventKind.CELL,
};

interface Options {
  follow?: boolean;
  new?: boolean;
  resume?: string;
  kind?: EventKind[];
  domain?: string[];
  process?: string[];
  cell?: string[];
  task?: string[];
}

/** `rivera events`: what there is, and what changes. */
export function addEvents(program: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(program.command('events').description('what there is, and what changes'))
    .option('-f, --follow', 'go on with changes as they happen')
    .option('--new', 'only changes from now on; follows')
    .option('--resume <token>', 'only changes behind a token from --json; follows')
    .option('--kind <kind>', `only of this kind: ${Object.keys(KINDS).join(', ')}; repeatable`, collectKind)
    .option('--domain <domain>', 'only of this domain; repeatable', collect)
    .option('--process <name>', 'only of this LRP; repeatable', collect)
    .option('--task <name>', 'only of this task; repeatable', collect)
    .option('--cell <id>', 'only on this cell; repeatable', collect);
  examples(
    command,
    ['rivera events', 'everything as it is'],
    ['rivera events --new --kind actual_lrp', 'instances that come and go'],
    ['rivera events -f --process hello --json', 'for programs'],
  );
  perform<Options>(command, io, outcome, async (session, _, options) => {
    if (options.new && options.resume !== undefined) throw usageError('--new and --resume exclude each other');
    const follows = options.follow === true || options.new === true || options.resume !== undefined;
    const client = await session.client();
    const items = client.watch({
      snapshot: !options.new && options.resume === undefined,
      resumeToken: options.resume,
      kinds: options.kind,
      domains: options.domain,
      processGuids: options.process,
      taskGuids: options.task,
      cellIds: options.cell,
      signal: session.signal,
    });
    const lines = new EventLines(session.out, follows);
    for await (const item of items) {
      await (session.out.json ? session.out.line(toJson(item)) : lines.show(item));
      if (item.kind === 'snapshot-complete' && !follows) break;
    }
    return undefined;
  });
}

function collectKind(text: string, before: EventKind[] = []): EventKind[] {
  const kind = KINDS[text.toLowerCase().replaceAll('-', '_')];
  if (kind !== undefined) return [...before, kind];
  const meant = nearest(text, Object.keys(KINDS));
  throw usageError(
    `'${text}' is not a kind of event`,
    meant ? `Did you mean '${meant}'?` : `One of: ${Object.keys(KINDS).join(', ')}`,
  );
}

/** The longest type, and subjects as long as most. */
const TYPE_WIDTH = 'desired_lrp_created'.length;
const SUBJECT_WIDTH = 16;
const MOST_SUBJECT_WIDTH = 60;

/** Lines in columns: time (where changes follow), type, subject, what happened. A long subject moves the last column for good. */
class EventLines {
  #subjectWidth = SUBJECT_WIDTH;

  constructor(
    private readonly out: Output,
    private readonly withTime: boolean,
  ) {}

  async show(item: WatchItem): Promise<void> {
    switch (item.kind) {
      case 'snapshot':
        return this.out.data(this.#line(undefined, describeRecord(item.record)));
      case 'event':
        return this.out.data(this.#line(item.event.time, describeEvent(item.event)));
      case 'reset':
        return this.out.note('Changes may have been missed; everything as it is now:\n');
      case 'snapshot-complete':
        return undefined;
    }
  }

  #line(time: Date | undefined, { type, subject, what }: EventText): string {
    this.#subjectWidth = Math.max(this.#subjectWidth, Math.min(subject.length, MOST_SUBJECT_WIDTH));
    const when = time === undefined ? '' : formatTimestamp(time);
    const cells = [type.padEnd(TYPE_WIDTH), subject.padEnd(this.#subjectWidth), what];
    if (this.withTime) cells.unshift(this.out.colours.dim(when.padEnd(TIME_WIDTH)));
    return `${cells.join('   ').trimEnd()}\n`;
  }
}

const TIME_WIDTH = formatTimestamp(new Date(0)).length;

function toJson(item: WatchItem): unknown {
  switch (item.kind) {
    case 'snapshot':
      return { type: 'snapshot', record: SnapshotRecord.toJSON(item.record) };
    case 'snapshot-complete':
      return { type: 'snapshot_complete', revision: item.revision };
    case 'event':
      return { type: describeEvent(item.event).type, data: Event.toJSON(item.event), resumeToken: item.resumeToken };
    case 'reset':
      return { type: 'reset' };
  }
}
