import { ManualClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, expect, it, vi } from 'vitest';
import { SimMachine } from '../garden/sim/machine.js';
import { SimGarden } from '../garden/sim/sim-garden.js';
import { RuntimeCheck } from './runtime-check.js';

let clock: ManualClock;
let garden: SimGarden;
let check: RuntimeCheck;
let full = false;
afterEach(async () => {
  await check.close();
  expect(garden.list()).toEqual([]);
  full = false;
});

function start(command: string[], rootFs = ['busybox']): void {
  clock = new ManualClock();
  garden = new SimGarden(new SimMachine({ clock, rootFs }));
  const times = { intervalMs: 600_000, timeoutMs: 100_000, full: () => full };
  check = new RuntimeCheck({ garden, clock, log: silentLogger, command, ...times });
  check.start();
}

it('makes a container now and then, and leaves none', async () => {
  start(['/sim/exit', '0']);
  const create = vi.spyOn(garden, 'create');
  expect(check.failure).toBeUndefined();
  await clock.advance(29_000);
  expect(create).not.toHaveBeenCalled();
  await clock.advance(2000);
  expect(create).toHaveBeenCalledTimes(1);
  expect(garden.list()).toEqual([]);
  await clock.advance(590_000);
  expect(create).toHaveBeenCalledTimes(1);
  await clock.advance(20_000);
  expect(create).toHaveBeenCalledTimes(2);
  expect(check.failure).toBeUndefined();
});

it.each<[string, string[], 'create' | 'destroy' | undefined, string, afterMs?: number]>([
  ['a program that fails', ['/sim/exit', '3'], undefined, 'running a program failed: Healthcheck exited with 3'],
  ['a program that does not end', ['/sim/run'], undefined, 'the check took longer than 100000 ms', 131_000],
  ['no container', ['/sim/exit', '0'], 'create', 'making a container failed: no more'],
  ['one that can not be destroyed', ['/sim/exit', '0'], 'destroy', 'destroying a container failed: no more'],
])('is broken by %s, until a check goes well', async (_, command, broken, reason, afterMs = 40_000) => {
  start(command);
  const spy = broken && vi.spyOn(garden, broken as 'create').mockRejectedValue(new Error('no more'));
  await clock.advance(afterMs);
  expect(check.failure).toBe(reason);
  expect(check.failures).toBeGreaterThan(0);
  spy?.mockRestore();
  command.splice(0, command.length, '/sim/exit', '0');
  await clock.advance(140_000);
  expect(check.failure).toBeUndefined();
});

it('tries again what may fail once on a machine with much to do', async () => {
  start(['/sim/exit', '0']);
  vi.spyOn(garden, 'create').mockRejectedValueOnce(new Error('busy')).mockRejectedValueOnce(new Error('busy'));
  await clock.advance(40_000);
  expect(check.failures).toBe(0);
});

it('looks at once when a container could not be made, but not for each of many', async () => {
  start(['/sim/exit', '0']);
  const create = vi.spyOn(garden, 'create');
  await clock.advance(31_000);
  check.suspect();
  await clock.advance(1000);
  expect(create).toHaveBeenCalledTimes(1);
  await clock.advance(60_000);
  for (let i = 0; i < 10; i++) check.suspect();
  await clock.advance(1000);
  expect(create).toHaveBeenCalledTimes(2);
});

it('says nothing of a cell that has nothing to make a container of', async () => {
  start(['/sim/exit', '0'], []);
  await clock.advance(1_000_000);
  expect(check.failures).toBe(0);
});

it('takes away at once what an agent that was killed left of a check', async () => {
  start(['/sim/run']);
  await clock.advance(31_000);
  expect(garden.list()).toHaveLength(1);
  const killed = check;
  check = new RuntimeCheck({
    garden,
    clock,
    log: silentLogger,
    command: [],
    intervalMs: 1,
    timeoutMs: 1,
    full: () => true,
  });
  check.start();
  await vi.waitFor(() => expect(garden.list()).toEqual([]), 30_000);
  await killed.close();
});

it('takes no container from a cell that has none left', async () => {
  start(['/sim/exit', '0']);
  const create = vi.spyOn(garden, 'create');
  full = true;
  await clock.advance(1_000_000);
  expect(create).not.toHaveBeenCalled();
});

it('an agent that ends in the middle of a check leaves no container', async () => {
  start(['/sim/run']);
  await clock.advance(31_000);
  expect(garden.list()).toHaveLength(1);
  await check.close();
});
