import { expect, it } from 'vitest';
import type { ProcessFacts } from '../../../kernel/proc.js';
import { familyOf, groupOf } from './signals.js';

const facts = (pid: number, parent: number, session: number): ProcessFacts => ({
  pid,
  parent,
  session,
  group: session,
  state: 'S',
  startTime: pid * 10,
});
const pids = (family: ProcessFacts[]) => family.map((member) => member.pid);
const target = { pid: 5, startTime: 50 };

it('counts descendants of any depth and the session as one family', () => {
  const members = [facts(1, 0, 1), facts(5, 0, 5), facts(6, 5, 5), facts(7, 6, 7), facts(8, 1, 5), facts(9, 1, 9)];
  expect(pids(familyOf(target, members))).toEqual([5, 6, 7, 8]);
});

it('finds what a dead leader left in its session', () => {
  expect(pids(familyOf(target, [facts(1, 0, 1), facts(8, 1, 5)]))).toEqual([8]);
});

it('never touches a process that took over the number', () => {
  const stranger = { ...facts(5, 0, 5), startTime: 999 };
  expect(familyOf(target, [stranger, facts(6, 5, 5)])).toEqual([]);
});

it('finds the session of one that leads none, as the runtime that led it is gone', () => {
  const led = { ...target, session: 4 };
  const members = [facts(1, 0, 1), facts(5, 1, 4), facts(6, 5, 4), facts(8, 1, 4), facts(9, 1, 9)];
  expect(pids(familyOf(led, members))).toEqual([5, 6, 8]);
  expect(pids(familyOf(led, [facts(1, 0, 1), facts(8, 1, 4)]))).toEqual([8]);
});

it('signals the group of one whose leader was the runtime, and nobody else where the leader is of the container', () => {
  const members = [facts(1, 0, 1), facts(5, 1, 4), facts(6, 5, 4), facts(7, 5, 7), facts(8, 7, 7)];
  expect(groupOf(facts(5, 1, 4), members)).toEqual([5, 6]);
  expect(groupOf(facts(8, 7, 7), members)).toEqual([8]);
});
