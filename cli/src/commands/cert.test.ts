import { mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadIdentity } from '@rivera/kit/tls/identity';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { EXIT } from '../failures.js';
import { runHere } from '../testing/terminal.js';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'rivera-cert-'));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

const cert = (...args: string[]) => runHere(['cert', ...args], { cwd });
const modeOf = (file: string) => statSync(join(cwd, file)).mode & 0o777;

describe('rivera cert authority', () => {
  it('makes one, and keeps it', async () => {
    expect(await cert('authority', 'ca')).toMatchObject({
      exitCode: EXIT.ok,
      stdout: `${cwd}/ca/ca.crt   for every machine\n${cwd}/ca/ca.key   secret; it stays here\n`,
      stderr: 'Now:  rivera cert issue ROLE NAME --ca ca\n',
    });
    expect([modeOf('ca'), modeOf('ca/ca.key')]).toEqual([0o700, 0o600]);
    expect((await cert('authority', 'ca')).stderr).toContain('is kept');
    expect(JSON.parse((await cert('authority', 'ca', '--json')).stdout)).toMatchObject({ kept: true });
  });

  it('does not touch what is none', async () => {
    await cert('authority', 'ca');
    writeFileSync(join(cwd, 'ca/ca.key'), 'mine');
    const said = await cert('authority', 'ca');
    expect(said.exitCode).toBe(EXIT.local);
    expect(said.stderr).toContain("ca can't be used");
  });
});

describe('rivera cert issue', () => {
  it.each(['server', 'cell'] as const)('gives a %s its files, and the settings that name them', async (role) => {
    await cert('authority', 'ca');
    const { exitCode, stdout, stderr } = await cert('issue', role, 'a-1', '--ca', 'ca', '--out', 'tls');
    expect(exitCode).toBe(EXIT.ok);
    expect(stderr).toContain(`for ${role} a-1, until `);
    expect(modeOf('tls/a-1.key')).toBe(0o600);
    const { tls } = parse(stdout);
    expect(tls).toEqual({ ca: `${cwd}/tls/ca.crt`, cert: `${cwd}/tls/a-1.crt`, key: `${cwd}/tls/a-1.key` });
    expect(await loadIdentity(tls)).toMatchObject({ role, name: 'a-1' });
  });

  it.each(['client', 'reader', 'garden'] as const)(
    'gives a %s its files, and the variables that name them',
    async (role) => {
      await cert('authority', 'ca');
      const { stdout } = await cert('issue', role, 'ops', '--ca', 'ca', '--out', 'tls');
      expect(stdout).toBe(
        `export RIVERA_CA=${cwd}/tls/ca.crt RIVERA_CERT=${cwd}/tls/ops.crt RIVERA_KEY=${cwd}/tls/ops.key\n`,
      );
      const files = { ca: join(cwd, 'tls/ca.crt'), cert: join(cwd, 'tls/ops.crt'), key: join(cwd, 'tls/ops.key') };
      expect(await loadIdentity(files)).toMatchObject({ role, name: 'ops' });
    },
  );

  it('keeps what fits, and issues anew for other hosts', async () => {
    await cert('authority', '.');
    const issue = async (...more: string[]) =>
      JSON.parse((await cert('issue', 'server', 's', '--json', ...more)).stdout) as { kept: boolean };
    expect(await issue()).toMatchObject({ kept: false, role: 'server', validUntil: expect.stringMatching(/^20\d\d-/) });
    expect((await issue()).kept).toBe(true);
    expect((await issue('--host', 'a.example', '--host', '10.0.0.1')).kept).toBe(false);
  });

  it('makes no authority by the way', async () => {
    const { exitCode, stderr } = await cert('issue', 'client', 'ops', '--ca', 'cq');
    expect(exitCode).toBe(EXIT.usage);
    expect(stderr).toContain(`there is no certificate authority in ${cwd}/cq`);
    expect(stderr).toContain('rivera cert authority cq');
  });

  it.each([
    ['an unknown role', ['admin', 'ops'], /server, cell, client, reader/],
    ['a name that no cell can have', ['cell', 'a.b'], /A-Z a-z 0-9 _ -/],
    ['a name that is too long', ['client', 'n'.repeat(65)], /1\.\.64 bytes/],
    ["the authority's name", ['client', 'ca'], /authority's own files/],
  ])('refuses %s', async (_, operands, words) => {
    await cert('authority', '.');
    const { exitCode, stdout, stderr } = await cert('issue', ...operands);
    expect({ exitCode, stdout }).toEqual({ exitCode: EXIT.usage, stdout: '' });
    expect(stderr).toMatch(words);
  });
});
