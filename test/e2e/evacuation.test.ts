import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Program } from '../stack/program.js';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { get, instancesOf, isRunning, urlOf, webApp } from '../stack/work.js';

const RIVERA = resolve(import.meta.dirname, '../../cli/bin/rivera.mjs');
const INSTANCES = 4;

let stack: Stack;
let client: RiveraClient;
let visitor: Visitor;

beforeAll(async () => {
  // A cell is lost after three seconds, so that the test need not wait.
  stack = await Stack.start({ cells: 1, server: { bbs: { presenceTtl: '3s' } } });
  await stack.addCell({ drainOnExit: true });
  client = await stack.client();
  await client.desiredLrps.desire(webApp('web', INSTANCES));
  await client.actualLrps.waitForRunning('web', { instances: INSTANCES, timeoutMs: 60_000 });
  visitor = new Visitor();
}, 120_000);
afterAll(async () => {
  await visitor?.close();
  await stack?.close();
}, 120_000);

const on = async (cellId: string) => (await instancesOf(client, 'web')).filter((each) => each.cellId === cellId);
const cell = (number: number) => stack.cells[number - 1] as Program;

/** What a command says on its standard output and error. @throws when it does not end well */
async function rivera(...args: string[]): Promise<string> {
  const env = await stack.cliEnvironment();
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [RIVERA, ...args], { env });
  return stdout + stderr;
}

/** Asks each index again and again, of whatever runs in it; what answers neither at once nor at another place is a gap. */
class Visitor {
  readonly gaps: string[] = [];
  visits = 0;
  private over = false;
  private readonly visiting = this.visit();

  async close(): Promise<void> {
    this.over = true;
    await this.visiting;
  }

  private async visit(): Promise<void> {
    while (!this.over) {
      for (let index = 0; index < INSTANCES && !this.over; index++) {
        this.visits++;
        if ((await this.answers(index)) || (await this.answers(index))) continue;
        this.gaps.push(`nothing answered for index ${index} at visit ${this.visits}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  private async answers(index: number): Promise<boolean> {
    const found = (await instancesOf(client, 'web')).filter((each) => each.key?.index === index && isRunning(each));
    for (const instance of found) {
      try {
        if ((await get(urlOf(instance))).endsWith(` ${index}`)) return true;
      } catch {
        // It may just have been stopped; the others, or a fresh listing, will tell.
      }
    }
    return false;
  }
}

describe('a cell that is drained', () => {
  it('loses its instances one by one as their replacements run, and nobody who visits notices', async () => {
    const staying = (await on('cell-2')).map((each) => each.instanceGuid);
    expect(await on('cell-1')).not.toEqual([]);
    expect(await rivera('cells', 'evacuate', 'cell-1')).toContain('cell-1 is empty');
    expect(await on('cell-1')).toEqual([]);
    const now = await client.actualLrps.waitForRunning('web', { instances: INSTANCES, timeoutMs: 30_000 });
    expect(now.every((each) => each.cellId === 'cell-2')).toBe(true);
    expect(now.map((each) => each.instanceGuid)).toEqual(expect.arrayContaining(staying));
    expect((await client.cells.get('cell-1')).state).toBe(CellState.EVACUATING);
    expect(visitor.gaps).toEqual([]);
  }, 90_000);

  it('is in service again once its agent has started anew', async () => {
    await cell(1).kill();
    cell(1).start();
    await until('it is there', async () => (await client.cells.get('cell-1')).state === CellState.PRESENT);
  });

  it('drains by itself when it is told to end and configured so', async () => {
    const agent = cell(2);
    await agent.stop(60_000);
    expect(agent.exitCode).toBe(0);
    const now = await client.actualLrps.waitForRunning('web', { instances: INSTANCES, timeoutMs: 30_000 });
    expect(now.every((each) => each.cellId === 'cell-1')).toBe(true);
    expect(visitor.gaps).toEqual([]);
  }, 90_000);
});

describe('a cell that is silent for a while', () => {
  it('has its instances back as they were; what was removed meanwhile is stopped', async () => {
    await client.desiredLrps.desire(webApp('removed', 1));
    const [removed] = await client.actualLrps.waitForRunning('removed', { timeoutMs: 60_000 });
    if (removed === undefined) throw new Error('nothing runs');
    const before = (await on('cell-1')).map((each) => each.instanceGuid).sort();
    cell(1).signal('SIGSTOP');
    await until('it is missing', async () => (await client.cells.get('cell-1')).state === CellState.MISSING);
    const suspects = (await on('cell-1')).filter(({ presence }) => presence === ActualLrpPresence.SUSPECT);
    expect(suspects.map((each) => each.instanceGuid).sort()).toEqual(before);
    const waiting = (await instancesOf(client, 'web')).filter(({ state }) => state === ActualLrpState.UNCLAIMED);
    expect(waiting).toHaveLength(INSTANCES);
    const story = await rivera('explain', 'web/0');
    expect(story).toMatch(/not been heard of for \d+s/);
    expect(story).toContain('the instance there may still be up');
    await client.desiredLrps.remove('removed');
    expect(await instancesOf(client, 'removed')).toEqual([]);

    cell(1).signal('SIGCONT');
    await until('its instances are the slots’ own again', async () => {
      const now = await instancesOf(client, 'web');
      const ordinary = now.filter(({ presence }) => presence === ActualLrpPresence.ORDINARY);
      return now.length === INSTANCES && ordinary.filter(isRunning).length === INSTANCES;
    });
    expect((await on('cell-1')).map((each) => each.instanceGuid).sort()).toEqual(before);
    await until('what was removed does not answer any more', async () => {
      const answer = await get(urlOf(removed)).catch(() => undefined);
      return answer === undefined;
    });
    // Nobody vouches for the domain: without a memory of the removal it would be back.
    expect(await instancesOf(client, 'removed')).toEqual([]);
    expect(visitor.visits).toBeGreaterThan(50);
    expect(visitor.gaps).toEqual([]);
  }, 90_000);
});
