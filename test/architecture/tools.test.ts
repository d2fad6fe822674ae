import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ROOT } from './source.js';

/** What a tool says when it is not content; '' when it is. */
async function complaints(command: string, ...args: string[]): Promise<string> {
  const env = { ...process.env, PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}` };
  try {
    await promisify(execFile)(command, args, { cwd: ROOT, env, maxBuffer: 16 * 1024 * 1024 });
    return '';
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return `${stdout}${stderr}` || String(error);
  }
}

describe('the tools are content', () => {
  it('biome: lint and format', async () => {
    expect(await complaints('biome', 'check', '.')).toBe('');
  }, 120_000);

  it('tsc: types of all packages', async () => {
    expect(await complaints('tsc', '-b')).toBe('');
  }, 120_000);

  it('buf: lint of the APIs', async () => {
    expect(await complaints('buf', 'lint')).toBe('');
  }, 60_000);

  it('buf: nothing that was promised is broken', async () => {
    expect(await complaints('npm', 'run', '--silent', 'proto:breaking')).toBe('');
  }, 60_000);

  it('buf: gen is what proto generates', async () => {
    expect(await complaints('bash', 'scripts/generate.sh', '--check')).toBe('');
  }, 60_000);
});
