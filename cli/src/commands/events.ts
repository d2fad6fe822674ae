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
  'desired-lrp': EventKind.DESIRED_LRP,
  'actual-lrp': EventKind.ACTUAL_LRP,
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
    ['rivera events --new --kind actual-lrp', 'instances that come and go'],
    ['rivera events -f --process hello --json', 'for programs'],
  );
  perform<Options>(command, io, outcome, async (session, _, options) => {
    if (options.new && options.resume !== undefined) throw usageError('--new and --resume exclude each other');
    const follows = options.follow || options.new || options.resume !== undefined;
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
    for await (const item of items) {
      await (session.out.json ? session.out.line(toJson(item)) : show(session.out, item));
      if (item.kind === 'snapshot-complete' && !follows) break;
    }
    return undefined;
  });
}

function collectKind(text: string, before: EventKind[] = []): EventKind[] {
  const kind = KINDS[text.toLowerCase().replaceAll('_', '-')];
  if (kind !== undefined) return [...before, kind];
  const meant = nearest(text, Object.keys(KINDS));
  throw usageError(
    `'${text}' is not a kind of event`,
    meant ? `Did you mean '${meant}'?` : `One of: ${Object.keys(KINDS).join(', ')}`,
  );
}

async function show(out: Output, item: WatchItem): Promise<void> {
  switch (item.kind) {
    case 'snapshot':
      return out.data(line(out, undefined, describeRecord(item.record)));
    case 'event':
      return out.data(line(out, item.event.time, describeEvent(item.event)));
    case 'reset':
      return out.note('Changes may have been missed; everything as it is now:\n');
    case 'snapshot-complete':
      return undefined;
  }
}

function line(out: Output, time: Date | undefined, { type, subject, what }: EventText): string {
  const when = time === undefined ? '' : `${out.colours.dim(formatTimestamp(time))}   `;
  return `${when}${type.padEnd(19)}   ${subject}   ${what}\n`;
}

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
