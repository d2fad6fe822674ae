import { describe, expect, it } from 'vitest';
import { stopInOrder } from './stopping.js';

const steps = { run: <T>(_: string, step: () => Promise<T>) => step() };
const never = new AbortController().signal;

describe('stopping', () => {
  it('goes from the last to the first, cells together', async () => {
    const log: string[] = [];
    let cellsAtOnce = 0;
    const thing = (name: string) => ({
      name,
      stop: async () => {
        log.push(`${name} stops`);
        if (name.startsWith('cell'))
          cellsAtOnce = Math.max(cellsAtOnce, log.filter((line) => /^cell.*stops/.test(line)).length);
        await new Promise((resolve) => setImmediate(resolve));
        log.push(`${name} stopped`);
      },
    });
    await stopInOrder(['cell-2', 'cell-1', 'server', 'database', 'lock'].map(thing), steps, never);
    expect(log.slice(0, 2)).toEqual(['cell-2 stops', 'cell-1 stops']);
    expect(log.slice(4)).toEqual([
      ...['server stops', 'server stopped', 'database stops', 'database stopped', 'lock stops', 'lock stopped'],
    ]);
    expect(cellsAtOnce).toBe(2);
  });

  it('goes on past a failure, and tells of it at the end', async () => {
    const stopped: string[] = [];
    const things = [
      { name: 'server', stop: () => Promise.reject(new Error('stuck')) },
      { name: 'database', stop: async () => void stopped.push('database') },
    ];
    await expect(stopInOrder(things, steps, never)).rejects.toThrow('stuck');
    expect(stopped).toEqual(['database']);
  });
});
