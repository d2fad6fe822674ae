import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@rivera/kit/config';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { bytesOf } from './codec-testing.js';
import { placeOf, plainDetailCodec } from './detail-codec.js';
import { encryptionConfig, openDetailCodec } from './encryption-config.js';

const schema = z.object({ encryption: encryptionConfig.prefault({}) });
const GOOD = 'correct horse battery staple';
const OTHER = 'another horse battery staple';
const place = placeOf('tasks', ['t']);

function load(encryption: unknown, env: NodeJS.ProcessEnv = {}) {
  return loadConfig({ schema, env, overrides: { encryption } }).encryption;
}

describe('the configuration of encryption', () => {
  it('is plain when there is none', async () => {
    expect(await openDetailCodec(load(undefined))).toBe(plainDetailCodec);
  });

  it('takes keys by label and the active one, from the environment as well', () => {
    expect(load({ keys: { a: GOOD, b: { file: '/run/key' } }, activeKey: 'b' }).activeKey).toBe('b');
    const env = { RIVERA_ENCRYPTION_KEYS: `{a: "${GOOD}"}`, RIVERA_ENCRYPTION_ACTIVE_KEY: 'a' };
    expect(load(undefined, env)).toEqual({ keys: { a: GOOD }, activeKey: 'a' });
  });

  it.each([
    ['an active label without a key', { keys: { a: GOOD }, activeKey: 'b' }, 'no key is labelled "b"; known labels: a'],
    ['an active label without any key', { activeKey: 'b' }, 'no key is labelled "b"; encryption.keys is empty'],
    ['keys of which none is active', { keys: { a: GOOD } }, 'encryption.activeKey: is required with keys: one of a'],
    ['an empty passphrase', { keys: { a: '' }, activeKey: 'a' }, 'encryption.keys.a: the passphrase is empty'],
    ['a passphrase of blanks', { keys: { a: ' '.repeat(20) }, activeKey: 'a' }, 'the passphrase is empty'],
    ['a short passphrase', { keys: { a: 'fifteen letters' }, activeKey: 'a' }, 'the passphrase is too short'],
    ['an empty label', { keys: { '': GOOD }, activeKey: '' }, 'a label has 1 to 127 bytes'],
    ['a long label', { keys: { ['l'.repeat(128)]: GOOD }, activeKey: 'l'.repeat(128) }, 'a label has 1 to 127 bytes'],
    ['what is no passphrase', { keys: { a: 7 }, activeKey: 'a' }, 'must be a passphrase, or {file: PATH}'],
  ])('refuses %s', (_, encryption, message) => {
    expect(() => load(encryption)).toThrow(message);
  });

  it('never shows a passphrase in what it refuses', () => {
    expect(() => load({ keys: { a: 'tiny-secret' }, activeKey: 'x' })).toThrow(/^(?![\s\S]*tiny-secret)/);
  });
});

describe('keys', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'rivera-keys-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('are the same on every server with the same passphrase, from a file or not, and never by another label', async () => {
    const file = join(folder, 'key');
    await writeFile(file, `${GOOD}\n`);
    const one = await openDetailCodec({ keys: { a: GOOD }, activeKey: 'a' });
    const two = await openDetailCodec({ keys: { a: { file }, b: OTHER }, activeKey: 'b' });
    expect(two.readText(bytesOf(one.writeText('secret', place)), place)).toBe('secret');
    const swapped = await openDetailCodec({ keys: { a: OTHER, b: GOOD }, activeKey: 'b' });
    expect(() => swapped.readText(bytesOf(one.writeText('secret', place)), place)).toThrow('another key of this label');
  });

  it('are derived as they always were', async () => {
    const codec = await openDetailCodec({ keys: { a: GOOD }, activeKey: 'a' });
    for (const stored of STORED_BY_VERSION_ONE) {
      expect(codec.readText(Buffer.from(stored, 'hex'), place)).toBe('{"hello":"world"}');
    }
  });

  it('can not come from a file that is missing or bad', async () => {
    const missing = join(folder, 'missing');
    await expect(openDetailCodec({ keys: { a: { file: missing } }, activeKey: 'a' })).rejects.toThrow(
      `encryption.keys.a: the file ${missing} can't be read`,
    );
    const empty = join(folder, 'empty');
    await writeFile(empty, '\n');
    await expect(openDetailCodec({ keys: { a: { file: empty } }, activeKey: 'a' })).rejects.toThrow('is empty');
  });

  it('are not the same key by two names', async () => {
    await expect(openDetailCodec({ keys: { a: GOOD, b: GOOD }, activeKey: 'a' })).rejects.toThrow(
      'encryption.keys.b: has the same passphrase as a',
    );
  });
});

/** Must be readable for ever: databases hold the like. */
const STORED_BY_VERSION_ONE = [
  '020161bedaf6b87a1cff8afa9a105026596bf6f786561c012f343633748e21d7174e0fdc007355da9e36f0d34f12fbc027ce530d5ec28d4cafc2535beac211',
  '0301617674723275486f632f3472366d6842514a6c6c7250436e2b76314459647556326e61584e656769396f75742f597239666a324f49493448793132763556636c457156536276516b3832704d414d6d3955',
];
