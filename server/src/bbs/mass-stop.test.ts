import { silentLogger } from '@rivera/kit/log';
import { beforeEach, describe, expect, it } from 'vitest';
import { runActualLrp } from './core/actual-lrp.js';
import { upsertDomain } from './core/domain.js';
import { CoreBench, instance, RUNNING_FACTS } from './core/testing.js';
import { MassStopGuard } from './mass-stop.js';
import { Pace } from './pace.js';

const NUMBERS = { graceMs: 60_000, fraction: 0.25, minimumInstances: 3 };
let bbs: CoreBench;
let guard: MassStopGuard;

beforeEach(() => {
  bbs = new CoreBench();
  guard = new MassStopGuard(NUMBERS, silentLogger);
  bbs.cell('c');
  bbs.run((draft) => upsertDomain(draft, 'd', 0));
});

/** Instances that nobody desires. */
const orphans = (count: number, first = 0) => {
  for (let i = first; i < first + count; i++) {
    bbs.run((draft) => runActualLrp(draft, instance(`orphan-${i}`, 0, 'c', `o-${i}`), RUNNING_FACTS));
  }
};
const look = () => guard.look(bbs.state, bbs.now, new Pace(2));

describe('the guard against a mass stop', () => {
  it('lets a few be stopped', async () => {
    orphans(2);
    expect((await look())('d')).toBe(true);
    expect(guard.held).toBe(0);
  });

  it('lets many be stopped when they are a small part', async () => {
    bbs.lrp('p', 10);
    orphans(3);
    expect((await look())('d')).toBe(true);
  });

  it('holds back when most are unwanted at once, for however long', async () => {
    orphans(4);
    expect((await look())('d')).toBe(false);
    expect(guard.held).toBe(4);
    bbs.now += 86_400_000;
    expect((await look())('d')).toBe(false);
  });

  it('lets go of a domain that was vouched for after the time to see what is missing', async () => {
    orphans(4);
    guard.vouched('d', bbs.now - 1);
    await look();
    // Whoever vouches at once may have looked before.
    guard.vouched('d', bbs.now + NUMBERS.graceMs - 1);
    expect((await look())('d')).toBe(false);
    guard.vouched('d', bbs.now + NUMBERS.graceMs);
    expect((await look())('d')).toBe(true);
    expect((await look())('e')).toBe(false);
    expect(guard.held).toBe(0);
  });

  it('begins anew when it was over in between', async () => {
    orphans(3);
    await look();
    bbs.lrp('p', 20);
    expect((await look())('d')).toBe(true);
    bbs.now += NUMBERS.graceMs;
    orphans(10, 3);
    expect((await look())('d')).toBe(false);
    guard.vouched('d', bbs.now);
    expect((await look())('d')).toBe(false);
  });

  it('does not count what nobody vouches against', async () => {
    bbs.run((draft) => upsertDomain(draft, 'd', 1_000));
    orphans(4);
    bbs.now += 1_001;
    expect((await look())('d')).toBe(true);
  });
});
