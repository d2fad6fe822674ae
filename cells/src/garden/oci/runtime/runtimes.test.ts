import { readFile, writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collectOutput, plainProcess, plainSpec } from '../../contract.js';
import type { GardenContainer } from '../../garden.js';
import { cellPlaces } from '../places.js';
import { type ScratchCell, scratchCell } from '../scratch-cell.js';
import { findProgram } from './runtime.js';

let cell: ScratchCell;
let made = 0;

beforeAll(async () => {
  cell = await scratchCell();
});
afterAll(() => cell?.remove());

const sh = (container: GardenContainer, script: string) =>
  container.run(plainProcess(`p${++made}`, { path: '/bin/sh', args: ['-c', script] }));
const output = async (container: GardenContainer, script: string) => {
  const process = await sh(container, script);
  await process.wait();
  return (await collectOutput(process)).map((line) => line.replace(/^\w+: /, ''));
};
const recordOf = (handle: string) => cellPlaces(cell.options.dataDir, cell.options.cellId).container(handle).record;

describe.each([
  ['crun', 'runc'],
  ['runc', 'crun'],
])('a container that %s made', (first, second) => {
  it(`is served to its end by a cell that now uses ${second}`, async () => {
    const before = await cell.open({ runtime: first });
    const container = await before.create(plainSpec('old', cell.rootFs));
    const process = await sh(container, 'echo up; exec sleep 1000');
    expect(JSON.parse(await readFile(recordOf('old'), 'utf8')).runtime).toEqual({
      name: first,
      path: findProgram(first),
    });
    await before.close();

    const garden = await cell.open({ runtime: second });
    const adopted = garden.lookup('old') as GardenContainer;
    await garden.ping();
    expect(await output(adopted, 'echo again')).toEqual(['again']);
    const person = await adopted.exec({ path: '/bin/echo', args: ['you'], env: {}, dir: '', user: 'root' });
    person.stderr.resume();
    expect(await text(person.stdout)).toBe('you\n');
    expect((await person.wait()).code).toBe(0);
    expect(await adopted.setLimits({ pids: 33 })).toMatchObject({ pids: 33 });
    await adopted.attach(process.id)?.signal('SIGKILL');
    expect((await adopted.attach(process.id)?.wait())?.code).toBe(137);
    // New ones are made by the new one, beside it.
    expect(await output(await garden.create(plainSpec('new', cell.rootFs)), 'echo new')).toEqual(['new']);
    expect(JSON.parse(await readFile(recordOf('new'), 'utf8')).runtime).toEqual({
      name: second,
      path: findProgram(second),
    });
    await Promise.all(['old', 'new'].map((handle) => garden.destroy(handle)));
    expect(await cell.leaks()).toEqual([]);
    await garden.close();
  });
});

it('takes a container whose record names no runtime for one of runc', async () => {
  const before = await cell.open({ runtime: 'runc' });
  await before.create(plainSpec('unnamed', cell.rootFs));
  await before.close();
  const { runtime: _, ...record } = JSON.parse(await readFile(recordOf('unnamed'), 'utf8'));
  await writeFile(recordOf('unnamed'), JSON.stringify(record));
  const garden = await cell.open({ runtime: 'crun' });
  expect(await output(garden.lookup('unnamed') as GardenContainer, 'echo served')).toEqual(['served']);
  await garden.destroy('unnamed');
  expect(await cell.leaks()).toEqual([]);
  await garden.close();
});

it('refuses a runtime that can make no container', async () => {
  await expect(cell.open({ runtime: '/bin/false' })).rejects.toMatchObject({ kind: 'unsupported' });
});
