import { tmpdir } from 'node:os';
import { afterEach, expect, it } from 'vitest';
import { ProcessInput } from './process-input.js';
import type { ProcessPlaces } from './supervisor.js';

const path = process.env.PATH;
afterEach(() => {
  process.env.PATH = path;
});

it('says so when the way to a process can’t be made, and loses nothing without a word', async () => {
  process.env.PATH = '/nowhere';
  const input = new ProcessInput({ dir: tmpdir() } as ProcessPlaces, 'pipe');
  for (let n = 0; n < 2; n++) {
    await expect(input.write(Buffer.from('x'))).rejects.toMatchObject({
      kind: 'process-failed',
      message: "the process's input can't be reached now: socat could not be started",
    });
  }
  await input.close();
});
