import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lrp, lrpAuction, task } from './testing/samples.js';
import { compareWork, invalidity, lrpWork, type PlaceableWork } from './work.js';
import { WorkQueue } from './work-queue.js';

function drain(queue: WorkQueue): string[] {
  const keys: string[] = [];
  for (let work = queue.pop(); work !== undefined; work = queue.pop()) keys.push(work.key);
  return keys;
}

function inOrder(...work: PlaceableWork[]): string[] {
  const queue = new WorkQueue();
  for (const each of work) queue.push(each);
  return drain(queue);
}

describe('the order of work', () => {
  it('is index 0, then tasks, then further instances by index', () => {
    expect(inOrder(lrp('p', 2), lrp('p', 1), task('t'), lrp('p', 0))).toEqual(['l/p/0', 't/t', 'l/p/1', 'l/p/2']);
  });

  it('has index 0 before tasks also when no other index waits, unlike the reference', () => {
    expect(inOrder(task('t'), lrp('p', 0))).toEqual(['l/p/0', 't/t']);
  });

  it('has the largest memory first: at the same index, and among tasks', () => {
    const small = { memoryMb: 1 };
    const large = { memoryMb: 2 };
    expect(
      inOrder(
        lrp('a', 0, small),
        lrp('b', 0, large),
        task('s', small),
        task('l', large),
        lrp('c', 1, small),
        lrp('d', 1, large),
      ),
    ).toEqual(['l/b/0', 'l/a/0', 't/l', 't/s', 'l/d/1', 'l/c/1']);
  });

  it('has the first come first among equals', () => {
    expect(inOrder(lrp('b'), lrp('a'))).toEqual(['l/b/0', 'l/a/0']);
  });
});

describe('the queue', () => {
  it('keeps the first of a key', () => {
    const queue = new WorkQueue();
    expect(queue.push(lrp('p', 0, { memoryMb: 1 }))).toBe(true);
    expect(queue.push(lrp('p', 0, { memoryMb: 2 }))).toBe(false);
    expect(queue.push(task('t'))).toBe(true);
    expect(queue.push(task('t'))).toBe(false);
    expect(queue.size).toBe(2);
    expect(queue.pop()?.requirements.memoryMb).toBe(1);
  });

  it('stays in order whatever is taken out of turn', () => {
    const piece = fc.record({
      kind: fc.constantFrom('l', 't'),
      index: fc.nat(3),
      memoryMb: fc.nat(3),
      out: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        const queue = new WorkQueue();
        const works = pieces.map(({ kind, index, memoryMb }, n) =>
          kind === 'l' ? lrp(`p${n}`, index, { memoryMb }) : task(`t${n}`, { memoryMb }),
        );
        for (const work of works) queue.push(work);
        const taken = works.filter((_, n) => pieces[n]?.out);
        for (const work of taken) expect(queue.take(work.key)).toBe(work);
        const left = works.filter((work) => !taken.includes(work));
        expect(drain(queue)).toEqual(left.sort(compareWork).map((work) => work.key));
      }),
    );
  });
});

describe('an auction of several indices', () => {
  it('is one piece of work for each', () => {
    const works = lrpWork(lrpAuction('p', [0, 1, 2]), () => 0);
    expect(works.map((work) => work.key)).toEqual(['l/p/0', 'l/p/1', 'l/p/2']);
  });
});

describe('work that nobody can do', () => {
  it.each([
    [lrp(''), 'proccess guid is empty'],
    [task(''), 'task guid is empty'],
    [{ ...lrp('p'), domain: '' }, 'domain is empty'],
    [lrp('p', 0, { memoryMb: -1 }), 'resources cannot be less than 0'],
    [lrp('p', 0, { diskMb: -1 }), 'resources cannot be less than 0'],
    [lrp('p', 0, { rootFs: '' }), 'placement constraint cannot be empty'],
    [lrp('p', 0, { maxPids: -1 }), undefined],
  ])('%#: %s', (work, text) => {
    expect(invalidity(work)).toBe(text);
  });
});
