import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
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
  noRoom: false,
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

describe('where the disk is full', () => {
  // A filesystem that has no room, on every machine.
  const dataDir = '/proc/rivera';

  it('a cell that was never here is told to get room, and not to install what it can’t be seen to have', async () => {
    const failure = await assertMachineReady({ dataDir }).catch((error: Error) => error.message);
    expect(failure).toContain('disk: 0 MB free; needed: 1024 MB free below');
    expect(failure).toContain(`disk quota: could not be tried, as there is hardly any room at /proc`);
    expect(failure).toContain('free some space');
    expect(failure).not.toContain('apt-get');
  });

  it('a cell that goes on with what runs here starts all the same, knowing what it lacks', async () => {
    const lacking = await assertMachineReady({ dataDir, resumes: true });
    expect(lacking.map(({ name }) => name)).toEqual(expect.arrayContaining(['disk', 'disk quota']));
    await expect(assertMachineReady({ dataDir, resumes: true, runtime: '/nowhere/runtime' })).rejects.toThrow(
      /runtime: (?!.*disk quota)/s,
    );
  });
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
