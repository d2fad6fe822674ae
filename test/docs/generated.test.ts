import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const execute = promisify(execFile);

it('the pages of docs/ are what the code says', async () => {
  const args = ['--conditions=source', '--import', 'tsx', 'scripts/docs.ts', '--check'];
  const { stderr } = await execute(process.execPath, args, { cwd: ROOT }).catch((error: { stderr: string }) => error);
  expect(stderr).toBe('');
});
