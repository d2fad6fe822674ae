import { ManualClock } from '@rivera/kit/clock';
import { expect, it } from 'vitest';
import { gardenContract, plainProcess, plainSpec } from '../contract.js';
import { simWorld } from './contract-world.js';
import { SimMachine } from './machine.js';
import { SimGarden } from './sim-garden.js';

gardenContract('sim', simWorld);

it('takes its time from the clock alone', async () => {
  const clock = new ManualClock(1000);
  const garden = new SimGarden(new SimMachine({ clock }));
  const container = await garden.create(plainSpec('c', 'preloaded:busybox'));
  const slow = await container.run(plainProcess('slow', { path: '/sim/exit', args: ['7', '500'] }));
  const stubborn = await container.run(plainProcess('stubborn', { path: '/sim/run', args: ['300'] }));
  let ended = '';
  void slow.wait().then(({ code }) => {
    ended += `slow ${code} at ${clock.now()}. `;
  });
  void stubborn.wait().then(({ code }) => {
    ended += `stubborn ${code} at ${clock.now()}. `;
  });
  await stubborn.signal('SIGTERM');
  await clock.advance(299);
  expect(ended).toBe('');
  await clock.advance(1);
  await clock.advance(200);
  await stubborn.wait();
  expect(ended).toBe('stubborn 143 at 1300. slow 7 at 1500. ');
  expect((await container.metrics()).ageMs).toBe(500);
});

it('leaves files that programs write', async () => {
  const garden = new SimGarden(new SimMachine({ clock: new ManualClock() }));
  const container = await garden.create(plainSpec('c', 'preloaded:busybox'));
  await container.run(plainProcess('w', { path: '/sim/write', args: ['/tmp/result', 'done'] }));
  const chunks: Buffer[] = [];
  for await (const chunk of await container.streamOut('/tmp/result', 'root')) chunks.push(chunk as Buffer);
  expect(Buffer.concat(chunks).toString('latin1')).toContain('done');
});

it('holds thousands of containers', async () => {
  const machine = new SimMachine({ clock: new ManualClock() });
  const garden = new SimGarden(machine);
  for (let index = 0; index < 5000; index++) {
    const container = await garden.create(plainSpec(`c${index}`, 'preloaded:busybox', { ports: [8080] }));
    await container.run(plainProcess('p', { path: '/bin/server', args: [] }));
  }
  const later = new SimGarden(machine);
  await garden.close();
  await later.start();
  expect(later.list()).toHaveLength(5000);
  expect(new Set(later.list().map((container) => container.info().ports[0]?.hostPort)).size).toBe(5000);
});
