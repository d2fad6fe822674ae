import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { assertMachineReady, probeMachine } from './machine.js';
import { explainMissing, type Probe, probe } from './probe.js';

const lacking = (name: string, packages: string[], more: Partial<Probe> = {}): Probe => ({
  name,
  ok: false,
  found: 'nothing',
  needed: `some ${name}`,
  remedy: `do something about ${name}`,
  packages,
  optional: false,
  ...more,
});

it('finds this machine able to run containers, and leaves nothing behind', async () => {
  await assertMachineReady({ dataDir: tmpdir() });
  const probes = await probeMachine({ dataDir: tmpdir() });
  expect(probes.find((each) => each.name === 'runtime')?.found).toContain('self-test passed');
  expect(probes.filter((each) => !each.ok && !each.optional)).toEqual([]);
  const mine = `rivera-probe-${process.pid}`;
  expect(await readdir('/run/netns')).not.toContain(mine);
});

it('says everything that is missing at once, with one line that installs it', () => {
  const message = explainMissing([
    lacking('runtime', ['runc']),
    lacking('root', [], { remedy: 'run as root' }),
    lacking('init', ['catatonit']),
    lacking('mariadb', ['mariadb-server'], { optional: true }),
    lacking('fine', ['never'], { ok: true }),
  ]);
  expect(message).toContain('apt-get install -y catatonit runc');
  expect(message).toContain('root: nothing; needed: some root. run as root');
  expect(message).not.toContain('mariadb');
  expect(message).not.toContain('fine');
  expect(explainMissing([lacking('x', [], { ok: true })])).toBeUndefined();
});

it('takes a check that fails for something that is missing', async () => {
  const found = await probe({
    name: 'x',
    needed: 'y',
    packages: ['p'],
    look: () => Promise.reject(new Error('no permission')),
  });
  expect(found).toMatchObject({ ok: false, found: 'no permission', remedy: 'apt-get install -y p', packages: ['p'] });
});
