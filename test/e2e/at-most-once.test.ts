import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { cellPlaces } from '@rivera/cells/garden/oci/places';
import { tracesOf } from '@rivera/cells/garden/oci/traces';
import { type Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { supervisorsBelow } from '../stack/processes.js';
import type { Program } from '../stack/program.js';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { task } from '../stack/work.js';
import { Witness } from './witness.js';

/** How long a cell may be away before its Tasks are given up: longer than it takes to start one on a busy machine. */
const PRESENCE_TTL_MS = 8_000;
/** A party that gets to its fail point does so within seconds; one that doesn't has lost the fail point. */
const DEATH_TIMEOUT_MS = 30_000;
const END_TIMEOUT_MS = 45_000;

/** Every crash window of a Task's life on its cell, in order. After all of them but one the Task is carried out all the same. */
const CELL_POINTS = [
  'cell.work-received',
  'cell.before-reserved',
  'cell.work-reserved',
  'cell.after-reserved',
  'cell.work-answered',
  'cell.taskStarted-sent',
  'cell.task-start-acknowledged',
  'cell.before-initializing',
  'cell.after-initializing',
  'cell.container-half-made',
  'cell.container-made',
  'cell.container-recorded',
  'cell.before-created',
  'cell.after-created',
  'cell.process-recorded',
  'cell.supervisor-spawned',
  'cell.supervisor-detached',
  'cell.process-started',
  'cell.before-running',
  'cell.after-running',
  'cell.process-exit-seen',
  'cell.before-completed',
  'cell.after-completed',
  'cell.taskCompleted-sent',
  'cell.task-complete-acknowledged',
  'cell.deletion-recorded',
  'cell.container-dying',
  'cell.container-killed',
  'cell.container-half-destroyed',
  'cell.container-destroyed',
];
/** From the record of a process to its supervisor's start nobody can tell whether it ran, so it is given up. */
const GIVES_UP = 'cell.process-recorded';
const NOBODY_KNOWS = 'APP: Exit status unknown: it was launched, but nobody knows whether it ran';

const SERVER_POINTS = [
  ...['PENDING', 'RUNNING', 'COMPLETED'].flatMap((state) => [`bbs.before-task-${state}`, `bbs.after-task-${state}`]),
  'auction.work-placed',
  'auction.work-sent',
  'auction.work-answered',
];

let stack: Stack;
let client: RiveraClient;
let witness: Witness;
/** Cells that no trial is using, and trials that wait for one, first come, first served. */
const idle: Program[] = [];
const waiting: ((cell: Program) => void)[] = [];

beforeAll(async () => {
  witness = await Witness.start();
  stack = await Stack.start({
    cells: 1,
    // What was acknowledged must outlive mariadbd.
    durable: true,
    cell: { optionalPlacementTags: ['cell-1', 'any'] },
    server: {
      bbs: { presenceTtl: PRESENCE_TTL_MS, leaseTtl: 3_000, kick: 1_000, taskRetryBackoff: 50, maxTaskRetries: 100 },
      auction: { answerTimeout: 3_000, noCellGrace: 1_000 },
    },
  });
  await stack.addCell({ optionalPlacementTags: ['cell-2', 'any'] });
  await stack.addCell({ optionalPlacementTags: ['cell-3', 'any'] });
  idle.push(...stack.cells);
  client = await stack.client();
}, 120_000);
afterAll(async () => {
  witness?.close();
  await stack?.close();
}, 120_000);

describe.concurrent('a task runs at most once, and leaves nothing, when its cell is killed', {
  timeout: 300_000,
}, () => {
  it.each(CELL_POINTS)('at %s', async (point) => {
    const cell = await idleCell();
    try {
      const taskGuid = guidFor(point);
      await cell.kill();
      await killedAt(cell, point, () => desire(taskGuid, { on: cell.name }));
      const done = await ended(taskGuid);
      if (point === GIVES_UP) expect(done).toMatchObject({ failed: true, failureReason: NOBODY_KNOWS });
      else expectSuccess(done);
      await nothingIsLeft(cell);
    } finally {
      free(cell);
    }
  });
});

describe('a task runs exactly once when the server is killed', { timeout: 120_000 }, () => {
  it.each(SERVER_POINTS)('at %s', async (point) => {
    const [server] = stack.servers as [Program];
    const [cell] = stack.cells as [Program];
    const taskGuid = guidFor(point);
    // Asked to end it gives its leases back, so that the next one leads at once.
    await server.stop();
    let desired: Promise<unknown> | undefined;
    await killedAt(server, point, async () => {
      // Whether the killed server took it or not: the client repeats itself until it knows.
      desired = until('the task is taken', () => desire(taskGuid, { on: cell.name }).then(() => true));
      desired.catch(() => {});
    });
    await desired;
    expectSuccess(await ended(taskGuid));
    await nothingIsLeft(cell);
  });
});

describe('a task runs at most once', { timeout: 120_000 }, () => {
  it('when mariadbd is killed while it waits', async () => {
    const [cell] = stack.cells as [Program];
    await cell.kill();
    await desire('waits', { on: cell.name });
    await stack.killDatabase();
    await stack.startDatabase();
    cell.start();
    expectSuccess(await ended('waits'));
    await nothingIsLeft(cell);
  });

  it('when mariadbd is killed while it runs, and it ends before the database is back', async () => {
    const [cell] = stack.cells as [Program];
    await desire('runs', { on: cell.name, wait: true });
    await until('it runs', () => witness.runs('runs') === 1);
    const supervisors = supervisorsOf(cell);
    expect(supervisors).toHaveLength(1);
    await stack.killDatabase();
    witness.release('runs');
    await until('it has ended', () => supervisorsOf(cell).length === 0);
    await stack.startDatabase();
    expectSuccess(await ended('runs'));
    await nothingIsLeft(cell);
  });

  it('when its supervisor is killed', async () => {
    const [cell] = stack.cells as [Program];
    await desire('unsupervised', { on: cell.name, wait: true });
    await until('it runs', () => witness.runs('unsupervised') === 1);
    killSupervisor(cell);
    const done = await ended('unsupervised');
    expect(done).toMatchObject({ failed: true, failureReason: expect.stringContaining('its supervisor is gone') });
    expect(witness.runs('unsupervised')).toBe(1);
    await nothingIsLeft(cell);
  });

  it('when its supervisor is killed while the agent is dead', async () => {
    const [cell] = stack.cells as [Program];
    await desire('alone', { on: cell.name, wait: true });
    await until('it runs', () => witness.runs('alone') === 1);
    await cell.kill();
    killSupervisor(cell);
    cell.start();
    const done = await ended('alone');
    expect(done).toMatchObject({ failed: true, failureReason: expect.stringContaining('its supervisor is gone') });
    expect(witness.runs('alone')).toBe(1);
    await nothingIsLeft(cell);
  });

  it('when the cell that has it reserved stays away and another one gets it', async () => {
    const [first, second, third] = stack.cells as [Program, Program, Program];
    await Promise.all([first.kill(), second.kill(), third.kill()]);
    const from = first.log().length;
    first.start({ RIVERA_FAILPOINT: 'cell.after-reserved' });
    await desire('moved', { on: 'any' });
    await death(first, from);
    second.start();
    expectSuccess(await ended('moved'));
    // The first one comes back with its reservation, and is told to drop it.
    first.start();
    third.start();
    await Promise.all([first, second].map(nothingIsLeft));
    expect(witness.runs('moved')).toBe(1);
  });

  it('when the cell that runs it stays away: another one does not get it', async () => {
    const [first, second] = stack.cells as [Program, Program];
    await first.kill();
    const from = first.log().length;
    first.start({ RIVERA_FAILPOINT: 'cell.process-started' });
    await desire('lost', { on: first.name, wait: true });
    await death(first, from);
    const done = await ended('lost');
    expect(done).toMatchObject({ failed: true, failureReason: 'cell disappeared before completion' });
    // The process does not know: it is there still, until its cell is back and learns that nobody wants it.
    expect(supervisorsOf(first)).toHaveLength(1);
    first.start();
    await Promise.all([first, second].map(nothingIsLeft));
    expect(witness.runs('lost')).toBe(1);
  });
});

async function idleCell(): Promise<Program> {
  return idle.shift() ?? new Promise((resolve) => waiting.push(resolve));
}

function free(cell: Program): void {
  const next = waiting.shift();
  if (next) next(cell);
  else idle.push(cell);
}

/** Starts a party that is to die at a fail point, does what leads it there, waits for its death, and starts it again. */
async function killedAt(party: Program, point: string, lead: () => Promise<unknown>): Promise<void> {
  const from = party.log().length;
  party.start({ RIVERA_FAILPOINT: point });
  await lead();
  await death(party, from);
  party.start();
}

/** It died at its fail point: by KILL, so without a word about an end or an error. */
async function death(party: Program, from: number): Promise<void> {
  await until(`${party.name} dies at its fail point`, () => !party.running, DEATH_TIMEOUT_MS);
  const lines = party.log().slice(from).trim().split('\n');
  expect(
    lines.filter((line) => !/^\{"level":(?:"(?:debug|info|warn)"|[1-4]0)/.test(line) || / is down/.test(line)),
  ).toEqual([]);
}

function guidFor(point: string): string {
  return point.replace('.', '-');
}

function desire(taskGuid: string, o: { on: string; wait?: boolean }): Promise<Task> {
  const definition = task(witness.script(taskGuid, o), { resultFile: '/tmp/result' }, { placementTags: [o.on] });
  return client.tasks.desire({ taskGuid, domain: 'test', definition });
}

/** Asks again and again, as a watch gives up on a server that is away for long. */
async function ended(taskGuid: string): Promise<Task> {
  const look = async () => {
    const current = await client.tasks.get(taskGuid);
    return current.state === TaskState.COMPLETED ? current : undefined;
  };
  const done = await until(`${taskGuid} has ended`, look, END_TIMEOUT_MS);
  expect(witness.runs(taskGuid)).toBeLessThanOrEqual(1);
  return done;
}

function expectSuccess(done: Task): void {
  expect(done).toMatchObject({ state: TaskState.COMPLETED, failed: false, failureReason: '', result: done.taskGuid });
  expect(witness.runs(done.taskGuid)).toBe(1);
}

/** No process, mount, network, control group or file of any container, and no record of one. */
async function nothingIsLeft(cell: Program): Promise<void> {
  const folder = join(stack.folder, cell.name);
  await until(`nothing is left on ${cell.name}`, async () => {
    expect(readdirSync(join(folder, 'executor/containers'))).toEqual([]);
    expect(await tracesOf(cellPlaces(folder, cell.name))).toEqual([]);
    return true;
  });
}

/** Pids of the supervisors of a cell's processes. */
function supervisorsOf(cell: Program): number[] {
  return supervisorsBelow(join(stack.folder, cell.name, 'containers'));
}

function killSupervisor(cell: Program): void {
  const supervisors = supervisorsOf(cell);
  expect(supervisors).toHaveLength(1);
  for (const pid of supervisors) process.kill(pid, 'SIGKILL');
}
