import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { DesiredLrpServiceService as desiredLrps } from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { Setting } from '@rivera/sdk/testing/setting';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { environmentOf, lrp } from '../testing/fake-installation.js';
import { runHere } from '../testing/terminal.js';
import { completionScript, SHELLS } from './scripts.js';

const execute = promisify(execFile);

/** What is offered for words typed so far; the last one is under the cursor. */
async function offered(...words: string[]): Promise<string[]> {
  const { exitCode, stdout, stderr } = await runHere(['__complete', '--', ...words]);
  expect({ exitCode, stderr }).toEqual({ exitCode: EXIT.ok, stderr: '' });
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split('\t')[0] ?? '');
}

describe('completion', () => {
  it('offers commands, and those that begin so', async () => {
    expect(await offered('')).toEqual(expect.arrayContaining(['task', 'lrp', 'logs', 'exec', 'up', 'doctor', 'help']));
    expect(await offered('')).not.toContain('__complete');
    expect(await offered('do')).toEqual(['domains', 'doctor']);
    expect(await offered('lrp', '')).toEqual(['run', 'list', 'show', 'scale', 'restart', 'reset', 'rm', 'help']);
  });

  it('offers options of the command', async () => {
    expect(await offered('lrp', 'scale', '--wait')).toEqual(['--wait-timeout']);
    expect(await offered('events', '--')).toEqual(
      expect.arrayContaining(['--follow', '--kind', '--json', '--servers']),
    );
  });

  it('offers the choices of an argument', async () => {
    expect(await offered('completion', '')).toEqual(['bash', 'zsh', 'fish']);
    expect(await offered('config', 's')).toEqual(['server']);
  });

  it('leaves files to the shell: values of other options, and the command behind --', async () => {
    expect(await offered('task', 'run', '--file', '')).toEqual([]);
    expect(await offered('exec', 'hello', '--', '')).toEqual([]);
  });

  it('is silent when no server answers', async () => {
    expect(await offered('lrp', 'show', '')).toEqual([]);
  });

  it('explains what it offers', async () => {
    expect((await runHere(['__complete', '--', 'do'])).stdout).toContain('doctor\twhat this machine has and lacks');
  });
});

describe('completion of names', () => {
  let setting: Setting;
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    setting = await Setting.make();
    const server = await setting.server();
    server.unary(desiredLrps.listDesiredLrps, () => ({
      desiredLrps: [lrp(), lrp({ processGuid: 'help-desk' }), lrp({ processGuid: 'web' })],
      nextPageToken: '',
      revision: 1,
    }));
    env = environmentOf(server, setting.clientFiles);
  });
  afterAll(() => setting.end());

  it('asks the servers', async () => {
    const { stdout } = await runHere(['__complete', '--', 'lrp', 'scale', 'hel'], { env });
    expect(stdout).toBe('hello\tlrp\nhelp-desk\tlrp\n');
  });
});

describe('the script for', () => {
  it.each(SHELLS)('%s is printed', async (shell) => {
    expect(await runHere(['completion', shell])).toEqual({
      exitCode: EXIT.ok,
      stdout: completionScript(shell),
      stderr: '',
    });
  });

  it('bash completes in a real bash, names with blanks before the cursor included', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'rivera-completion-'));
    try {
      const fake = join(folder, 'rivera');
      // Answers with what it was asked, so that the words' way through bash shows.
      writeFileSync(fake, '#!/bin/sh\nprintf "%s" "$*" > "$0.asked"\nprintf "scale\\tchange\\nshow\\tshow\\n"\n');
      chmodSync(fake, 0o755);
      const script = `${completionScript('bash')}
COMP_WORDS=(rivera lrp sh); COMP_CWORD=2; _rivera; printf '%s\\n' "\${COMPREPLY[@]}"; cat "${fake}.asked"`;
      const env = { PATH: `${folder}${delimiter}${process.env.PATH}` };
      const { stdout } = await execute('bash', ['--norc', '-c', script], { env });
      expect(stdout).toBe('show\n__complete -- lrp sh');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  for (const shell of ['zsh', 'fish'] as const) {
    it.skipIf(!existsSync(`/usr/bin/${shell}`))(`${shell} is accepted by it`, async () => {
      await execute(`/usr/bin/${shell}`, ['-n', '-c', completionScript(shell)]);
    });
  }
});
