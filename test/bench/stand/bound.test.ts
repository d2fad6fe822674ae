import { expect, it } from 'vitest';
import { boundOf } from './bound.js';
import type { Use } from './usage.js';

const quiet: Use = {
  seconds: 10,
  processes: [
    { name: 'server', cores: 0.5, busiestThread: 0.4 },
    { name: 'database', cores: 0.2, busiestThread: 0.2 },
  ],
  machineCores: 2,
  machine: 0.4,
  commits: { count: 100, seconds: 3 },
};

it('names waiting while nothing is full', () => {
  expect(boundOf(quiet)).toMatchObject({ name: 'bound by waiting: no core is full', value: 40 });
});

it('names waiting for one another when threads fill a core between them', () => {
  const processes = [...quiet.processes, { name: 'driver', cores: 0.35, busiestThread: 0.35 }];
  expect(boundOf({ ...quiet, processes })).toMatchObject({ name: 'bound by waiting for one another', value: 95 });
});

it('names the fullest thread, even on a full machine', () => {
  const processes = [...quiet.processes, { name: 'cells', cores: 1.1, busiestThread: 0.97 }];
  expect(boundOf({ ...quiet, processes, machine: 0.99 })).toMatchObject({
    name: 'bound by one thread of the cells',
    value: 97,
    unit: '% of a core',
  });
});

it('names the machine, and that others were busy on it', () => {
  expect(boundOf({ ...quiet, machine: 0.99 }).name).toBe('bound by the machine, busy with others');
  const processes = [...quiet.processes, { name: 'driver', cores: 1.2, busiestThread: 0.6 }];
  expect(boundOf({ ...quiet, processes, machine: 0.99 }).name).toBe("bound by the machine's cores");
});

it('names the transactions when one is nearly always under way', () => {
  expect(boundOf({ ...quiet, commits: { count: 100, seconds: 9 } })).toMatchObject({
    name: 'bound by transactions',
    value: 90,
  });
});

it('says what everybody used', () => {
  expect(boundOf(quiet).conditions).toBe(
    'server 50 %, one thread 40 %, database 20 %, others 10 %, machine 40 % of 2 cores, 100 transactions of 30 ms, 30 % of the time',
  );
});
