import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cellNetwork, MOST_CELLS, takePlaces } from './places.js';

let folder: string;
let releases: (() => Promise<void>)[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rivera-places-'));
  releases = [];
});
afterEach(async () => {
  for (const release of releases) await release();
  rmSync(folder, { recursive: true, force: true });
});

async function take(name: string, cells: number) {
  const { places, release } = await takePlaces(join(folder, name), cells);
  releases.push(release);
  return { places, release };
}

describe('places', () => {
  it('stay what they were from start to start, also those of cells that are not started this time', async () => {
    const first = await take('a.json', 3);
    await first.release();
    const second = await take('a.json', 1);
    expect(second.places).toEqual(first.places);
    expect(new Set([first.places.serverPort, ...first.places.cellPorts]).size).toBe(4);
  });

  it('of two that run side by side are different', async () => {
    const { places: a } = await take('a.json', 1);
    const { places: b } = await take('b.json', 1);
    expect(a.slot).not.toBe(b.slot);
  });

  it('give way when a port is taken', async () => {
    const { places, release } = await take('a.json', 1);
    await release();
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(places.serverPort, '127.0.0.1', resolve));
    try {
      const { places: moved } = await take('a.json', 1);
      expect(moved.serverPort).not.toBe(places.serverPort);
      expect(moved.cellPorts).toEqual(places.cellPorts);
    } finally {
      other.close();
    }
  });

  it('are chosen anew when the file was cut off', async () => {
    writeFileSync(join(folder, 'a.json'), '{"slot":');
    expect((await take('a.json', 1)).places.serverPort).toBeGreaterThan(0);
  });
});

describe('the network of cells', () => {
  it('is different for every cell on the machine, and within bounds', () => {
    const cells = Array.from({ length: 16 }, (_, slot) => slot).flatMap((slot) =>
      Array.from({ length: MOST_CELLS }, (_, index) => cellNetwork(slot, index, MOST_CELLS)),
    );
    expect(new Set(cells.map(({ subnet }) => subnet)).size).toBe(cells.length);
    expect(new Set(cells.map(({ bridge }) => bridge)).size).toBe(cells.length);
    for (const { bridge, subnet, portRange } of cells) {
      // Longer interface names are refused by the kernel.
      expect(bridge.length).toBeLessThanOrEqual(15);
      expect(Number(subnet.split('.')[2])).toBeLessThanOrEqual(255);
      expect(portRange.last).toBeLessThanOrEqual(65_534);
    }
    const ranges = cells.map(({ portRange }) => portRange).sort((a, b) => a.first - b.first);
    for (const [i, range] of ranges.entries()) {
      expect(range.last).toBeGreaterThan(range.first);
      if (i > 0) expect(range.first).toBeGreaterThan(ranges[i - 1]?.last ?? 0);
    }
  });

  it('gives a lone cell the reference’s range of ports', () => {
    expect(cellNetwork(0, 0, 1)).toEqual({
      bridge: 'rivera0-0',
      subnet: '10.213.0.0/24',
      portRange: { first: 61_001, last: 65_534 },
    });
  });
});
