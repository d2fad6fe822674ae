import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { beforeEach, describe, expect, it } from 'vitest';
import { Agenda } from './agenda.js';
import { HeldWork } from './held-work.js';
import { Outbox, type TransitionContent } from './outbox.js';
import type { ReportSubject } from './reconciler.js';
import type { Work } from './work.js';

const instance = (guid: string): Work => ({
  kind: 'lrp',
  key: { processGuid: 'p', index: 0, domain: 'd' },
  instanceGuid: guid,
});
const claim = (instanceGuid: string): TransitionContent => ({
  $case: 'lrpClaimed',
  value: { key: { processGuid: 'p', index: 0, domain: 'd' }, instanceGuid, includeDefinition: true },
});

let outbox: Outbox<ReportSubject>;
let held: HeldWork;

beforeEach(() => {
  outbox = new Outbox();
  held = new HeldWork();
});

/** What a stream of this cell says. Claims that were sent are named in inventories. */
function open(options: { evacuating?: boolean } = {}): Agenda {
  outbox.rewind();
  const asked = () => [...outbox.sent()].map(({ subject: { guid } }) => ({ guid, work: instance(guid) }));
  return new Agenda({ outbox, held, asked }, options.evacuating ?? false);
}

function add(guid: string): void {
  outbox.add(claim(guid), { guid, step: 'claim', container: undefined });
}

/** The next message as text. */
function say(agenda: Agenda): string | undefined {
  const message = agenda.next();
  switch (message?.$case) {
    case 'transitions':
      return `transitions ${message.value.transitions.map(({ sequence }) => sequence).join()}`;
    case 'inventory': {
      const { requestId, lrps, more } = message.value;
      const named = lrps.length > 5 ? `${lrps.length} instances` : lrps.map(({ instanceGuid }) => instanceGuid).join();
      return `inventory ${requestId}: ${named}${more ? ' …' : ''}`;
    }
    case 'update':
      return message.value.evacuating ? 'evacuating' : 'update';
    default:
      return message?.$case;
  }
}

function sayAll(agenda: Agenda): string[] {
  const said: string[] = [];
  for (let text = say(agenda); text !== undefined; text = say(agenda)) said.push(text);
  return said;
}

describe('what goes up a stream', () => {
  it('is an inventory, although nothing happened', () => {
    expect(sayAll(open())).toEqual(['inventory 0: ']);
  });

  it('is what was unanswered, then the inventory that names it, then what happens now', () => {
    held.hold('h', instance('h'), ActualLrpState.RUNNING);
    add('a');
    add('b');
    const agenda = open();
    const first = say(agenda);
    add('c');
    expect([first, ...sayAll(agenda)]).toEqual(['transitions 1,2', 'inventory 0: h,a,b', 'transitions 3']);
  });

  it('does not hold an inventory back for what happens now', () => {
    const agenda = open();
    add('a');
    expect(say(agenda)).toBe('inventory 0: ');
    add('b');
    agenda.requestInventory(7);
    expect(sayAll(agenda)).toEqual(['inventory 7: ', 'transitions 1,2']);
  });

  it('puts nothing between the parts of an inventory', () => {
    for (let n = 0; n < 2_500; n++) held.hold(`i${n}`, instance(`i${n}`), ActualLrpState.RUNNING);
    const agenda = open();
    const first = say(agenda);
    add('a');
    agenda.beat();
    agenda.evacuate();
    expect([first, ...sayAll(agenda)]).toEqual([
      'inventory 0: 1000 instances …',
      'inventory 0: 1000 instances …',
      'inventory 0: 500 instances',
      'evacuating',
      'heartbeat',
      'transitions 1',
    ]);
  });

  it('is a heartbeat when one is due, however many transitions wait', () => {
    for (let n = 0; n < 3_000; n++) add(`a${n}`);
    const agenda = open();
    const said: (string | undefined)[] = [];
    for (let n = 0; n < 3; n++) {
      agenda.beat();
      said.push(say(agenda), say(agenda)?.slice(0, 'transitions'.length));
    }
    expect(said).toEqual(['heartbeat', 'transitions', 'heartbeat', 'transitions', 'heartbeat', 'transitions']);
  });

  it('tells every server anew that the cell is evacuating', () => {
    expect(sayAll(open({ evacuating: true }))).toEqual(['evacuating', 'inventory 0: ']);
  });

  it('answers a bounded number of requests for inventories', () => {
    const agenda = open();
    for (let n = 1; n <= 1_000; n++) agenda.requestInventory(n);
    expect(sayAll(agenda)).toHaveLength(16);
  });
});
