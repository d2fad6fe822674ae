import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { CellServiceService as cells } from '@rivera/gen/rivera/bbs/v1/cell_service';
import { Setting } from '@rivera/sdk/testing/setting';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { cell, environmentOf } from '../testing/fake-installation.js';
import { runHere } from '../testing/terminal.js';
import type { Finding } from './doctor.js';

let setting: Setting;
beforeAll(async () => {
  setting = await Setting.make();
});
afterEach(() => setting.endTest());
afterAll(() => setting.end());

async function findings(env: NodeJS.ProcessEnv, ...args: string[]): Promise<Map<string, Finding>> {
  const { stdout } = await runHere(['doctor', '--json', ...args], { env });
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Finding);
  return new Map(lines.map((finding) => [finding.name, finding]));
}

describe('rivera doctor', () => {
  it('looks at the machine', async () => {
    const found = await findings({});
    expect([...found.keys()]).toEqual(expect.arrayContaining(['mariadb', 'runtime', 'server']));
    expect(found.size).toBeGreaterThan(4);
    for (const { verdict, remedy } of found.values()) if (verdict === 'ok') expect(remedy).toBe('');
  });

  it('minds a data folder that cells can not use, and names the rule', async () => {
    expect((await findings({}, '--data', '/srv/rivera')).get('data folder')).toMatchObject({ verdict: 'ok' });
    expect((await findings({}, '--data', '/srv/my data')).get('data folder')).toMatchObject({
      verdict: 'missing',
      found: expect.stringContaining('/srv/my data; needed: a path of letters'),
      remedy: expect.stringContaining('--data DIR'),
    });
  });

  it('looks at the disk that the data folder is on', async () => {
    expect((await findings({}, '--data', '/proc/rivera')).get('disk')).toMatchObject({
      verdict: 'missing',
      found: '0 MB free; needed: 1024 MB free below /proc/rivera',
      remedy: 'free some space or choose another data folder',
    });
  });

  it('does not mind that there is no server yet, but says how to start one', async () => {
    expect((await findings({})).get('server')).toMatchObject({
      verdict: 'optional',
      remedy: expect.stringContaining('rivera up'),
    });
  });

  it('minds a server that does not answer, and one without cells', async () => {
    const server = await setting.server();
    const env = environmentOf(server, setting.clientFiles);
    server.unary(cells.listCells, () => ({ cells: [cell('a', CellState.MISSING)], nextPageToken: '', revision: 1 }));
    const found = await findings(env);
    expect(found.get('server')?.verdict).toBe('ok');
    expect(found.get('cells')).toMatchObject({ verdict: 'missing', found: '0 of 1 cell present' });
    server.stop();
    expect((await findings(env, '--timeout', '300ms')).get('server')).toMatchObject({ verdict: 'missing' });
  });

  it('shows a table with what helps below it', async () => {
    const { stdout } = await runHere(['doctor']);
    expect(stdout).toMatch(/^\s+found\n/);
    expect(stdout).toContain('What helps:\n');
  });
});
