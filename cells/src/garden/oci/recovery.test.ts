import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { plainProcess, plainSpec } from '../contract.js';
import type { GardenContainer } from '../garden.js';
import type { OciGarden } from './oci-garden.js';
import { cellPlaces } from './places.js';
import { type ScratchCell, scratchCell } from './scratch-cell.js';

let cell: ScratchCell;
let garden: OciGarden;

beforeAll(async () => {
  cell = await scratchCell();
});
afterEach(async () => {
  await Promise.all(garden.list().map((container) => garden.destroy(container.handle)));
  expect(await cell.leaks()).toEqual([]);
  await garden.close();
});
afterAll(() => cell?.remove());

const places = (handle: string) => cellPlaces(cell.options.dataDir, cell.options.cellId).container(handle);
const works = async (container: GardenContainer, id: string) => {
  const process = await container.run(plainProcess(id, { path: '/bin/true', args: [] }));
  return (await process.wait()).code === 0;
};

/** An agent of its own that makes and destroys containers without end; killed after a while. */
async function killedAgent(afterMs: number): Promise<void> {
  const { cellId, dataDir, rootFsDir, subnet, bridge } = cell.options;
  const options = JSON.stringify({ cellId, dataDir, rootFsDir, subnet, bridge });
  const script = fileURLToPath(new URL('./recovery-agent.ts', import.meta.url));
  const agent = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', script, options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(createInterface(agent.stdout), 'line');
  setTimeout(() => agent.kill('SIGKILL'), afterMs);
  await once(agent, 'exit');
}

describe('after the agent was killed', () => {
  it.each([15, 40, 70, 110, 160, 230])(
    'while making and destroying containers for %i ms, all there is is whole',
    async (afterMs) => {
      await killedAgent(afterMs);
      garden = await cell.open();
      for (const container of garden.list()) {
        expect(await works(container, 'check')).toBe(true);
        const end = await container.attach('p')?.wait();
        // The agent may have died between noting that it launches the process and launching it.
        if (end && !end.lost?.includes('nobody knows whether it ran')) {
          expect(end).toEqual({ code: 0, outOfMemory: false });
        }
      }
      // A handle that was being made or destroyed can be used.
      const fresh = await garden.create(plainSpec('again', cell.rootFs, { ports: [8080] }));
      expect(await works(fresh, 'p')).toBe(true);
    },
  );
});

describe('what an earlier agent left', () => {
  it('half made is cleared away', async () => {
    garden = await cell.open();
    await garden.create(
      plainSpec('half', cell.rootFs, {
        ports: [8080],
        limits: { memoryBytes: 0, diskBytes: 1024 * 1024, pids: 0, cpuShares: 0 },
      }),
    );
    await garden.close();
    await rename(places('half').record, places('half').dyingRecord);
    garden = await cell.open();
    expect(garden.list()).toEqual([]);
  });

  it('of a process that was recorded and never launched frees the id; one that may have run is lost', async () => {
    garden = await cell.open();
    await garden.create(plainSpec('c', cell.rootFs));
    await garden.close();
    await mkdir(join(places('c').processes, 'never'));
    await mkdir(join(places('c').processes, 'maybe'));
    const record = { id: 'maybe', uuid: 'nobody', launchedAtMs: 0 };
    await writeFile(join(places('c').processes, 'maybe', 'record.json'), JSON.stringify(record));
    garden = await cell.open();
    const container = garden.lookup('c') as GardenContainer;
    expect(container.attach('never')).toBeUndefined();
    expect(await works(container, 'never')).toBe(true);
    expect(await container.attach('maybe')?.wait()).toMatchObject({ lost: expect.stringContaining('nobody knows') });
    await expect(container.run(plainProcess('maybe', { path: '/bin/true', args: [] }))).rejects.toMatchObject({
      kind: 'process-exists',
    });
  });

  it('is told from what a cell of the same name has that belongs to another installation', async () => {
    garden = await cell.open();
    const container = await garden.create(plainSpec('mine', cell.rootFs));
    const another = await scratchCell();
    const neighbour = await another.open({ cellId: cell.options.cellId });
    expect(await works(container, 'p')).toBe(true);
    await neighbour.dissolve();
    await neighbour.close();
    await another.remove();
  });

  it('belonging to its people is ended', async () => {
    garden = await cell.open();
    const container = await garden.create(plainSpec('c', cell.rootFs));
    await container.run(plainProcess('p', { path: '/bin/sleep', args: ['1000'] }));
    const own = places('c');
    const pid = await readFile(join(own.processes, 'p/pid'), 'utf8');
    await garden.close();
    // As after a kill: a process is still there, and files say that it is somebody's at a shell.
    await writeFile(join(own.execs, '1-1.pid'), pid);
    garden = await cell.open();
    await expect.poll(async () => (await (garden.lookup('c') as GardenContainer).metrics()).pids).toBe(1);
    expect(await readdir(own.execs)).toEqual([]);
  });

  it('is listed also when its init is dead, and can be destroyed', async () => {
    garden = await cell.open();
    const container = await garden.create(plainSpec('dead', cell.rootFs));
    const running = await container.run(plainProcess('p', { path: '/bin/sleep', args: ['1000'] }));
    process.kill(Number(await readFile(places('dead').initPidFile, 'utf8')), 'SIGKILL');
    expect((await running.wait()).code).toBe(137);
    await garden.close();
    garden = await cell.open();
    const found = garden.lookup('dead') as GardenContainer;
    await expect(found.run(plainProcess('q', { path: '/bin/true', args: [] }))).rejects.toMatchObject({
      kind: 'process-failed',
    });
    expect((await found.metrics()).pids).toBe(0);
  });
});
