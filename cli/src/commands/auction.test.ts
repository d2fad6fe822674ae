import { mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { runHere } from '../testing/terminal.js';
import { spreadSvg } from './spread-svg.js';

const dir = mkdtempSync(join(tmpdir(), 'rivera-auction-'));
afterAll(() => rm(dir, { recursive: true, force: true }));

describe('rivera auction simulate', () => {
  it('tells what was placed, and how evenly', async () => {
    const { exitCode, stdout, stderr } = await runHere(['auction', 'simulate', '--cells', '12', '--lrps', '120']);
    expect({ exitCode, stderr }).toEqual({ exitCode: EXIT.ok, stderr: '' });
    expect(stdout).toMatch(/placed: +120 of 120 instances\n/);
    expect(stdout).toMatch(/time: +\d+ ms, [\d,]+ decisions a second\n/);
    expect(stdout).toMatch(/\nzone +cells +before +placed +fewest +most +mean +deviation\nZ0 +6 +0 +\d+/);
    expect(stdout).toMatch(/\nall +12 +0 +120 +\d+ +\d+ +10\.0 +\d\.\d\d\n$/);
  });

  it('tells why the rest was not placed', async () => {
    const { stdout } = await runHere(['auction', 'simulate', '--scenario', 'boulders']);
    expect(stdout).toMatch(/placed: +51 of 82 instances\nnot placed: +31: insufficient resources: memory\n/);
  });

  it('has the same facts for programs', async () => {
    const args = ['auction', 'simulate', '--scenario', 'zone-priority', '--json'];
    const { stdout } = await runHere(args);
    expect(stdout.trim().split('\n')).toHaveLength(1);
    expect(JSON.parse(stdout)).toMatchObject({
      scenario: 'zone-priority',
      seed: 1,
      submitted: 40,
      placed: 40,
      failures: [],
      zones: [
        { name: 'Z0', cells: 2, before: 0, placed: 20, spread: { least: 10, most: 10 } },
        { name: 'Z1', cells: 1, before: 50, placed: 20 },
      ],
    });
  });

  it('goes over real streams, with messages that take their time', async () => {
    const args = ['auction', 'simulate', '--scenario', 'zone-priority', '--latency', '20', '--json'];
    const { exitCode, stdout, stderr } = await runHere(args);
    expect({ exitCode, stderr }).toEqual({ exitCode: EXIT.ok, stderr: '' });
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ latencyMs: 20, submitted: 40, placed: 40, failures: [] });
    expect(report.zones).toMatchObject([{ placed: 20, spread: { least: 10, most: 10 } }, { placed: 20 }]);
    // There and back at least once.
    expect(report.tookMs).toBeGreaterThanOrEqual(40);
    const people = await runHere(['auction', 'simulate', '--cells', '4', '--lrps', '8', '--streams']);
    expect(people.stdout).toMatch(/streams: +4 over gRPC, each message 0 ms on its way\nplaced: +8 of 8 instances\n/);
    const many = await runHere(['auction', 'simulate', '--cells', '2000', '--streams']);
    expect(many.exitCode).not.toBe(EXIT.ok);
    expect(many.stderr).toContain('2000 cells are too many for streams: at most 1000');
  });

  it('comes out the same for the same seed, and otherwise for another', async () => {
    const spread = async (seed: string) => {
      const args = ['auction', 'simulate', '--scenario', 'half-full', '--seed', seed, '--json'];
      return JSON.stringify(JSON.parse((await runHere(args)).stdout).spread);
    };
    expect(await spread('3')).toBe(await spread('3'));
    expect(await spread('3')).not.toBe(await spread('4'));
  });

  it('draws a picture that is valid XML', async () => {
    const file = join(dir, 'spread.svg');
    expect(await runHere(['auction', 'simulate', '--cells', '9', '--zones', '3', '--svg', file])).toMatchObject({
      exitCode: EXIT.ok,
    });
    const svg = readFileSync(file, 'utf8');
    expect(elementsOf(svg)).toContain('svg');
    expect(svg).toContain('9 cells');
  });

  it('says when it can not draw', async () => {
    const file = join(dir, 'nowhere', 'spread.svg');
    const { exitCode, stderr } = await runHere(['auction', 'simulate', '--svg', file]);
    expect(exitCode).toBe(EXIT.local);
    expect(stderr).toContain('can not write');
  });

  it('knows its scenarios', async () => {
    const help = (await runHere(['auction', 'simulate', '--help'])).stdout;
    expect(help).toContain('zone-priority');
    expect(help).toContain('$ rivera auction simulate');
    const said = await runHere(['auction', 'simulate', '--scenario', 'flood']);
    expect(said.exitCode).toBe(EXIT.usage);
    expect((await runHere(['__complete', '--', 'auction', 'simulate', '--scenario', ''])).stdout).toContain(
      'rolling-deploy',
    );
  });
});

describe('the picture', () => {
  const cell = (id: string, zone: string, before: number, placed: number) => ({ id, zone, before, placed });

  it('has a bar for what was there and one for what came, of heights in proportion', () => {
    const svg = spreadSvg({ title: 't', subtitle: 's', cells: [cell('a', 'z1', 5, 5), cell('b', 'z1', 0, 5)] });
    const bars = [...svg.matchAll(/M(\S+) (\S+)V(\S+)h/g)].map((match) => match.slice(2).map(Number));
    expect(bars).toEqual([
      [280, 170],
      [170, 60],
      [280, 170],
    ]);
  });

  it('of names that are markup, and of nothing, is valid all the same', () => {
    elementsOf(spreadSvg({ title: '<&"\'>', subtitle: ']]>', cells: [cell('a', '<z>&', 1, 1)] }));
    elementsOf(spreadSvg({ title: '', subtitle: '', cells: [] }));
  });

  it('of many cells is small', () => {
    const cells = Array.from({ length: 10_000 }, (_, n) => cell(`c${n}`, `z${n % 2}`, 50, 50));
    expect(spreadSvg({ title: 't', subtitle: 's', cells }).length).toBeLessThan(1_000_000);
  });
});

/** Reads a text as XML without entities of its own, and fails where it is none. @returns names of the elements */
function elementsOf(xml: string): string[] {
  const names: string[] = [];
  const open: string[] = [];
  const tag = /<(\/?)([a-z]+)((?:\s[a-zA-Z-]+="[^"<&]*")*)(\/?)>/g;
  const text = xml.replace(tag, (_, closing: string, name: string, __: string, empty: string) => {
    if (closing !== '') expect(open.pop()).toBe(name);
    else {
      names.push(name);
      if (empty === '') open.push(name);
    }
    return '';
  });
  expect(open).toEqual([]);
  expect(text.replace(/&#\d+;/g, '')).not.toMatch(/[<>&]/);
  return names;
}
