import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadHostKey, newPrivateKey } from './host-key.js';

/** Of this many one would be malformed in all but 3 of 10,000 runs. */
const KEYS = 2_000;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rivera-host-key-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('makes none that can not be read', () => {
  for (let made = 0; made < KEYS; made++) expect(ssh2.utils.parseKey(newPrivateKey())).not.toBeInstanceOf(Error);
});

it('is made once, for its owner alone, and is the one that OpenSSH reads', () => {
  const file = join(folder, 'key');
  const made = loadHostKey(file);
  expect(loadHostKey(file)).toEqual(made);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const [, fingerprint] = execFileSync('ssh-keygen', ['-l', '-f', file], { encoding: 'utf8' }).split(' ');
  expect(fingerprint).toBe(made.fingerprint);
  expect(execFileSync('ssh-keygen', ['-y', '-f', file], { encoding: 'utf8' })).toContain(made.publicLine);
});

it('says which file holds no such key, and leaves it as it is', () => {
  const file = join(folder, 'key');
  writeFileSync(file, 'no key');
  expect(() => loadHostKey(file)).toThrow(`${file} holds no private key`);
  execFileSync('ssh-keygen', ['-q', '-t', 'ecdsa', '-N', '', '-f', join(folder, 'other')]);
  expect(() => loadHostKey(join(folder, 'other'))).toThrow(`${folder}/other holds no private ed25519 key`);
  expect(readFileSync(file, 'utf8')).toBe('no key');
});
