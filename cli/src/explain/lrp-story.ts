import { ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { count } from '../terminal/text.js';
import type { LrpFacts, Step, Story } from './facts.js';
import { isInTrouble, type Slot, tellSlot } from './instance-story.js';
import { at } from './words.js';

/** Instances that are told of in full, those in trouble first: nobody reads more of them. */
export const MOST_TOLD = 10;

/** The story of an LRP, or of one instance of it, from what is known. */
export function tellLrp(facts: LrpFacts, nowMs: number): Story {
  const slots = slotsOf(facts);
  const troubled = slots.filter((slot) => isInTrouble(slot, facts, nowMs));
  const well = slots.filter((slot) => !troubled.includes(slot));
  const told = [...troubled, ...well].slice(0, MOST_TOLD).sort((a, b) => a.index - b.index);
  const stories = told.map((slot) => tellSlot(slot, facts, nowMs));
  const paragraphs = apart(stories.map(({ lines }) => lines));
  const next = stories.flatMap((story) => story.next);
  if (told.length < slots.length || next.length === 0) {
    next.push({ command: `rivera lrp show ${facts.name}`, meaning: 'all instances' });
  }
  return {
    lines: [
      introduction(facts, slots, nowMs),
      ...(paragraphs.length === 0 ? [] : ['', ...paragraphs]),
      ...leftOut(slots.length - told.length, troubled.length - Math.min(troubled.length, MOST_TOLD)),
    ],
    next: distinct(next),
  };
}

/** `hello is an LRP of domain apps, desired since … (2h ago): 1 of 3 instances runs.` */
function introduction({ name, desired, index }: LrpFacts, slots: readonly Slot[], nowMs: number): string {
  if (desired === undefined)
    return `Nobody desires ${name}, and ${count(slots.length, 'instance')} of it ${slots.length === 1 ? 'is' : 'are'} left.`;
  const what = `${name} is an LRP of domain ${desired.domain}, desired since ${at(desired.createdAt, nowMs)}`;
  if (index !== undefined) return `${what}, with ${count(desired.instances, 'instance')}.`;
  if (desired.instances === 0 && slots.length === 0) return `${what}, with no instances: there is nothing to run.`;
  const running = slots.filter(({ ordinary }) => ordinary?.state === ActualLrpState.RUNNING).length;
  return `${what}: ${running} of ${count(desired.instances, 'instance')} running.`;
}

/** Stories of one line stand together, longer ones apart. */
function apart(stories: readonly (readonly string[])[]): string[] {
  return stories.flatMap((lines, i) => {
    const isApart = i > 0 && (lines.length > 1 || (stories[i - 1]?.length ?? 0) > 1);
    return isApart ? ['', ...lines] : lines;
  });
}

function leftOut(slots: number, troubled: number): string[] {
  if (slots === 0) return [];
  return ['', `${count(slots, 'more instance')}, ${troubled === 0 ? 'all well' : `${troubled} of them in trouble`}.`];
}

/** The records by slot, and the slots that should be there and have none. */
function slotsOf({ instances, desired, index }: LrpFacts): Slot[] {
  const slots = new Map<number, { index: number; ordinary: Slot['ordinary']; others: Slot['others'][number][] }>();
  const slotAt = (wanted: number) => {
    const slot = slots.get(wanted) ?? { index: wanted, ordinary: undefined, others: [] };
    slots.set(wanted, slot);
    return slot;
  };
  for (const record of instances) {
    const slot = slotAt(record.key?.index ?? 0);
    if (record.presence === ActualLrpPresence.ORDINARY) slot.ordinary = record;
    else slot.others.push(record);
  }
  if (index !== undefined) slotAt(index);
  else for (let i = 0; i < (desired?.instances ?? 0); i++) slotAt(i);
  return [...slots.values()].sort((a, b) => a.index - b.index);
}

/** Each command once; of many instances in the same trouble a few stand for all. */
function distinct(steps: readonly Step[]): Step[] {
  const byCommand = new Map(steps.map((step) => [step.command, step]));
  const perMeaning = new Map<string, number>();
  return [...byCommand.values()].filter(({ meaning }) => {
    const before = perMeaning.get(meaning) ?? 0;
    perMeaning.set(meaning, before + 1);
    return before < 2;
  });
}
