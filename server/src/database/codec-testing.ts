/** For tests alone: codecs with keys made of their labels, without the cost of deriving them from passphrases. */
import { createHash, createSecretKey } from 'node:crypto';
import { EncryptedDetailCodec } from './encrypted-detail-codec.js';

/** The first label is the active one. `others` replaces the secret behind labels, to play a key that was changed. */
export function testCodec(
  labels: readonly [string, ...string[]],
  others: Record<string, string> = {},
): EncryptedDetailCodec {
  const keys = labels.map((label) => {
    const secret = createHash('sha256')
      .update(others[label] ?? `secret of ${label}`)
      .digest();
    return [label, createSecretKey(secret)] as const;
  });
  return new EncryptedDetailCodec(new Map(keys), labels[0]);
}

/** The bytes of an SQL literal, '…' or x'…'. */
export function bytesOf(literal: string): Buffer {
  const [, hex, text] = /^(?:x'([0-9a-f]*)'|'([\s\S]*)')$/.exec(literal) ?? [];
  if (hex !== undefined) return Buffer.from(hex, 'hex');
  if (text === undefined) throw new Error(`no literal of bytes: ${literal.slice(0, 40)}`);
  return Buffer.from(
    text.replace(/\\(.)/gs, (_, character: string) => (character === '0' ? '\0' : character)),
    'utf8',
  );
}
