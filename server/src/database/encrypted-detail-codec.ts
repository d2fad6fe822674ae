import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
  randomFillSync,
} from 'node:crypto';
import {
  type DetailCodec,
  ENCRYPTED_BYTES,
  ENCRYPTED_TEXT,
  isEncrypted,
  MAX_LABEL_BYTES,
  PLAIN,
  type Place,
  placeOf,
  placeText,
  plainContent,
  UndecodableError,
} from './detail-codec.js';
import { sqlString } from './sql-text.js';

/**
 * Format 2, AES-256-GCM:
 *
 * ```
 * 02 │ length of label, 1 byte │ label, UTF-8 │ salt, 15 │ nonce, 12 │ ciphertext │ tag, 16
 * ```
 *
 * Format 3 is the same behind 03, with everything from the salt on in base64. It is for documents, which are small and many: the
 * database takes a quarter longer for a row with a hexadecimal literal than for one with text. Payloads are kept as bytes.
 *
 * The place of the row is the associated data. The cipher's key is HKDF-SHA-256 of the label's key and the salt, which each writing
 * process draws anew: random nonces of 96 bits are safe for some 2^32 messages under one key, and a busy platform writes as many in a
 * day. So no key sees more than `MESSAGES_PER_SALT`, and a label can be used for years.
 */
const CIPHER = 'aes-256-gcm';
/** A multiple of three, so that its base64 is the same whatever follows. */
const SALT_BYTES = 15;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const ROW_KEY_BYTES = 32;
const ROW_KEY_INFO = 'rivera row key';
/** Two equal nonces among so many have a chance of 2^-41. */
const MESSAGES_PER_SALT = 2 ** 28;
/** Keys derived for reading, about one for each start of a server. */
const MAX_READING_KEYS = 1_024;
/** Random bytes are asked for by the thousand: a call costs as much as a row. */
const POOLED_NONCES = 1_024;
const CHECK_TEXT = 'rivera';
/** A literal: the plain format byte and nothing behind it. */
const EMPTY = `x'0${PLAIN}'`;

/** What is written now: everything of a row's content that stays the same. */
interface Writing {
  /** Up to the salt, as the beginning of a literal: hexadecimal in format 2, escaped text in format 3. */
  readonly bytesHead: string;
  readonly textHead: string;
  readonly key: KeyObject;
  left: number;
}

/**
 * Encrypts under the active key and reads under all of them; plain rows of earlier times are read as well. Empty content is stored as
 * the plain format byte alone: there is nothing to hide, and rows without cold fields cost nothing.
 */
export class EncryptedDetailCodec implements DetailCodec {
  readonly labels: readonly string[];
  private writing: Writing | undefined;
  private readonly readingKeys = new Map<string, KeyObject>();
  private readonly nonces = Buffer.alloc(POOLED_NONCES * NONCE_BYTES);
  private nextNonce = this.nonces.length;

  /** @param keys 32 bytes by label; labels have 1 to 127 bytes */
  constructor(
    private readonly keys: ReadonlyMap<string, KeyObject>,
    readonly activeLabel: string,
  ) {
    this.labels = [...keys.keys()];
    if (!keys.has(activeLabel)) throw new RangeError(`there is no key "${activeLabel}"`);
    for (const [label, key] of keys) {
      const bytes = Buffer.byteLength(label);
      if (bytes < 1 || bytes > MAX_LABEL_BYTES)
        throw new RangeError(`a label has ${bytes} bytes, not 1 to ${MAX_LABEL_BYTES}`);
      if (key.symmetricKeySize !== ROW_KEY_BYTES)
        throw new RangeError(`the key "${label}" does not have ${ROW_KEY_BYTES} bytes`);
    }
  }

  writeText(text: string, place: Place): string {
    if (text === '') return EMPTY;
    const { textHead, key } = this.nextWriting();
    return `'${textHead}${this.seal(key, text, place).toString('base64')}'`;
  }

  writeBytes(bytes: Uint8Array, place: Place): string {
    if (bytes.length === 0) return EMPTY;
    const { bytesHead, key } = this.nextWriting();
    return `x'${bytesHead}${this.seal(key, bytes, place).toString('hex')}'`;
  }

  readText(stored: Buffer, place: Place): string {
    return this.decrypt(stored, place).toString('utf8');
  }

  readBytes(stored: Buffer, place: Place): Uint8Array {
    // A copy of its own: a view would keep the whole network packet in memory.
    return new Uint8Array(this.decrypt(stored, place));
  }

  keyCheck(label: string): Buffer {
    const { bytesHead, key } = this.begin(label);
    return Buffer.concat([Buffer.from(bytesHead, 'hex'), this.seal(key, CHECK_TEXT, checkPlace(label))]);
  }

  holdsKey(label: string, check: Buffer): boolean {
    try {
      return this.decrypt(check, checkPlace(label)).toString('utf8') === CHECK_TEXT;
    } catch (error) {
      if (error instanceof UndecodableError) return false;
      throw error;
    }
  }

  private nextWriting(): Writing {
    if (this.writing === undefined || this.writing.left === 0) this.writing = this.begin(this.activeLabel);
    this.writing.left -= 1;
    return this.writing;
  }

  /** Nonce, ciphertext and tag. */
  private seal(key: KeyObject, content: string | Uint8Array, place: Place): Buffer {
    const nonce = this.takeNonce();
    const cipher = createCipheriv(CIPHER, key, nonce);
    cipher.setAAD(Buffer.from(placeText(place), 'utf8'));
    const body = typeof content === 'string' ? cipher.update(content, 'utf8') : cipher.update(content);
    cipher.final();
    return Buffer.concat([nonce, body, cipher.getAuthTag()]);
  }

  private decrypt(stored: Buffer, place: Place): Buffer {
    if (!isEncrypted(stored)) return plainContent(stored);
    const labelEnd = 2 + (stored[1] ?? 0);
    const sealed =
      stored[0] === ENCRYPTED_TEXT
        ? Buffer.from(stored.toString('latin1', labelEnd), 'base64')
        : stored.subarray(labelEnd);
    const bodyAt = SALT_BYTES + NONCE_BYTES;
    const tagAt = sealed.length - TAG_BYTES;
    if (labelEnd === 2 || tagAt < bodyAt) throw new UndecodableError('it is cut off');
    const key = this.readingKey(stored.toString('latin1', 2, labelEnd), sealed.toString('latin1', 0, SALT_BYTES));
    try {
      const decipher = createDecipheriv(CIPHER, key, sealed.subarray(SALT_BYTES, bodyAt), { authTagLength: TAG_BYTES });
      decipher.setAAD(Buffer.from(placeText(place), 'utf8'));
      decipher.setAuthTag(sealed.subarray(tagAt));
      const content = decipher.update(sealed.subarray(bodyAt, tagAt));
      decipher.final();
      return content;
    } catch (cause) {
      throw new UndecodableError(
        'it was changed, moved from another row, or encrypted with another key of this label',
        {
          cause,
        },
      );
    }
  }

  /** Both as bytes, one character each. */
  private readingKey(label: string, salt: string): KeyObject {
    const name = label + salt;
    const known = this.readingKeys.get(name);
    if (known !== undefined) return known;
    const labelKey = this.keys.get(Buffer.from(label, 'latin1').toString('utf8'));
    if (labelKey === undefined) throw new UndecodableError('no key is configured under the label that it names');
    const key = rowKey(labelKey, Buffer.from(salt, 'latin1'));
    const [oldest] = this.readingKeys.keys();
    if (this.readingKeys.size >= MAX_READING_KEYS && oldest !== undefined) this.readingKeys.delete(oldest);
    this.readingKeys.set(name, key);
    return key;
  }

  private begin(label: string): Writing {
    const labelKey = this.keys.get(label);
    if (labelKey === undefined) throw new RangeError(`there is no key "${label}"`);
    const salt = randomBytes(SALT_BYTES);
    const labelBytes = Buffer.byteLength(label);
    const head = Buffer.concat([Buffer.from([ENCRYPTED_BYTES, labelBytes]), Buffer.from(label, 'utf8'), salt]);
    // The label's length is below 128: one byte as a character, too.
    const text = String.fromCharCode(ENCRYPTED_TEXT, labelBytes) + label + salt.toString('base64');
    return {
      bytesHead: head.toString('hex'),
      textHead: sqlString(text).slice(1, -1),
      key: rowKey(labelKey, salt),
      left: MESSAGES_PER_SALT,
    };
  }

  private takeNonce(): Buffer {
    if (this.nextNonce === this.nonces.length) {
      randomFillSync(this.nonces);
      this.nextNonce = 0;
    }
    this.nextNonce += NONCE_BYTES;
    return this.nonces.subarray(this.nextNonce - NONCE_BYTES, this.nextNonce);
  }
}

function rowKey(labelKey: KeyObject, salt: Uint8Array): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', labelKey, salt, ROW_KEY_INFO, ROW_KEY_BYTES)));
}

function checkPlace(label: string): Place {
  return placeOf('encryption_status', [label]);
}
