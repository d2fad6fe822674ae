import { describe, expect, it } from 'vitest';
import { journalContract } from './contract.js';
import { JournalError } from './journal.js';
import { MemoryDatabase, MemoryJournal } from './memory-journal.js';
import { sampleBatch, sampleTask } from './sample-rows.js';

journalContract('memory journal', async () => {
  const database = new MemoryDatabase();
  return { journal: () => new MemoryJournal(database) };
});

const unreachable = () => {
  throw new JournalError('unavailable', 'injected');
};

describe('a memory journal that is made to fail', () => {
  it('has committed nothing when it fails before', async () => {
    const database = new MemoryDatabase();
    const journal = new MemoryJournal(database);
    await journal.open(1);
    database.faults = { beforeCommit: unreachable };
    await expect(journal.commit(sampleBatch(1, 0, { tasks: [sampleTask()] }))).rejects.toThrow('injected');
    expect(database.tasks.size).toBe(0);
    database.faults = {};
    await journal.commit(sampleBatch(1, 0, { tasks: [sampleTask()] }));
    expect(database.tasks.size).toBe(1);
  });

  it('has committed everything when only its answer is lost', async () => {
    const database = new MemoryDatabase();
    const journal = new MemoryJournal(database);
    await journal.open(1);
    database.faults = { afterCommit: unreachable };
    const batch = sampleBatch(1, 0, { tasks: [sampleTask()] });
    await expect(journal.commit(batch)).rejects.toThrow('injected');
    expect(database.tasks.size).toBe(1);
    database.faults = {};
    await journal.commit(batch);
    expect(database.revision).toBe(1);
  });

  it('is fenced when another term begins while a commit is delayed', async () => {
    const database = new MemoryDatabase();
    const old = new MemoryJournal(database);
    await old.open(1);
    let go = () => {};
    database.faults = {
      beforeCommit: () =>
        new Promise((resolve) => {
          go = resolve;
        }),
    };
    const delayed = old.commit(sampleBatch(1, 0, { tasks: [sampleTask()] }));
    await new MemoryJournal(database).open(2);
    go();
    await expect(delayed).rejects.toMatchObject({ kind: 'fenced' });
    expect(database.tasks.size).toBe(0);
  });
});
