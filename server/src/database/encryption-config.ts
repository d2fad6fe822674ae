import { createSecretKey, type KeyObject, scrypt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { type DetailCodec, MAX_LABEL_BYTES, plainDetailCodec } from './detail-codec.js';
import { EncryptedDetailCodec } from './encrypted-detail-codec.js';

/** Shorter ones can be found by trying. */
const MIN_PASSPHRASE_CHARS = 16;
const GOOD_PASSPHRASE = `at least ${MIN_PASSPHRASE_CHARS} characters; \`openssl rand -base64 32\` makes a good one`;

/**
 * A label's key is scrypt of its passphrase: people choose passphrases, and whoever has a copy of the database can try them against any
 * row, so each try must be dear (N = 2^15, r = 8: 32 MiB and about 0.1 s; once a start, for each key). The salt is this text and the label:
 * every server must come to the same key without a place to share a random one, and two labels never share work.
 */
const SALT_PREFIX = 'rivera encryption at rest, version 1, key ';
const SCRYPT = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };

const keySource = z.union([z.string(), z.strictObject({ file: z.string().min(1) })], {
  error: 'must be a passphrase, or {file: PATH} of a file that holds one',
});

/** Encryption at rest. */
export const encryptionConfig = z
  .object({
    keys: z
      .record(z.string(), keySource)
      .default({})
      .describe(
        `Passphrases by label, or {file: PATH} of a file that holds one: ${GOOD_PASSPHRASE}. Rows are read under any of them; none: nothing is encrypted`,
      ),
    activeKey: z
      .string()
      .default('')
      .describe('Label of the key that rows are encrypted under; rows under others are re-encrypted in the background'),
  })
  .superRefine(({ keys, activeKey }, context) => {
    const labels = Object.keys(keys);
    for (const label of labels) {
      const wrong = wrongLabel(label) ?? wrongPassphrase(keys[label]);
      if (wrong !== undefined) context.addIssue({ code: 'custom', path: ['keys', label], message: wrong });
    }
    if (activeKey === '' && labels.length > 0) {
      context.addIssue({
        code: 'custom',
        path: ['activeKey'],
        message: `is required with keys: one of ${labels.join(', ')}`,
      });
    } else if (activeKey !== '' && !Object.hasOwn(keys, activeKey)) {
      const known = labels.length === 0 ? 'encryption.keys is empty' : `known labels: ${labels.join(', ')}`;
      context.addIssue({ code: 'custom', path: ['activeKey'], message: `no key is labelled "${activeKey}"; ${known}` });
    }
  });

export type EncryptionConfig = z.infer<typeof encryptionConfig>;

/**
 * What the journal writes and reads through. Takes about 0.1 s for each key.
 * @throws Error that names the key, never its passphrase
 */
export async function openDetailCodec(config: EncryptionConfig): Promise<DetailCodec> {
  const sources = Object.entries(config.keys);
  if (sources.length === 0) return plainDetailCodec;
  const keys = new Map<string, KeyObject>();
  const seen = new Map<string, string>();
  for (const [label, source] of sources) {
    const passphrase = typeof source === 'string' ? source : await fromFile(label, source.file);
    const wrong = wrongLabel(label) ?? wrongPassphrase(passphrase);
    if (wrong !== undefined) throw new Error(`encryption.keys.${label}: ${wrong}`);
    const same = seen.get(passphrase);
    if (same !== undefined) throw new Error(`encryption.keys.${label}: has the same passphrase as ${same}`);
    seen.set(passphrase, label);
    keys.set(label, await deriveKey(label, passphrase));
  }
  return new EncryptedDetailCodec(keys, config.activeKey);
}

/** The file's content but for the end of its line. */
async function fromFile(label: string, file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).replace(/\r?\n$/, '');
  } catch (cause) {
    throw new Error(`encryption.keys.${label}: the file ${file} can't be read`, { cause });
  }
}

function wrongLabel(label: string): string | undefined {
  const bytes = Buffer.byteLength(label);
  return bytes < 1 || bytes > MAX_LABEL_BYTES ? `a label has 1 to ${MAX_LABEL_BYTES} bytes` : undefined;
}

function wrongPassphrase(source: string | { file: string } | undefined): string | undefined {
  if (typeof source !== 'string') return undefined;
  if (source.trim() === '') return `the passphrase is empty; needed are ${GOOD_PASSPHRASE}`;
  return source.length < MIN_PASSPHRASE_CHARS
    ? `the passphrase is too short; needed are ${GOOD_PASSPHRASE}`
    : undefined;
}

function deriveKey(label: string, passphrase: string): Promise<KeyObject> {
  return new Promise((resolve, reject) => {
    scrypt(passphrase.normalize('NFC'), SALT_PREFIX + label, 32, SCRYPT, (error, key) => {
      if (error) reject(error);
      else resolve(createSecretKey(key));
    });
  });
}
