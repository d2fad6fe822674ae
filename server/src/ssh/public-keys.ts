import { createPublicKey } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import ssh2, { type ParsedKey } from 'ssh2';
import { fingerprintOf } from './host-key.js';
import { Refused } from './refused.js';
import type { SshStore } from './store.js';

/** Keys that log in: Ed25519, ECDSA, and RSA with SHA-2. DSA has had its day. */
const KEY_TYPES = /^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa)$/;
/** Shorter keys of RSA are within reach. */
const MIN_RSA_BITS = 2_048;
const MAX_FILE_BYTES = 4 * 1024 * 1024;

/** A key that may log in, and into what. */
export interface KnownKey {
  readonly key: ParsedKey;
  readonly name: string;
  /** Empty: every LRP that lets SSH in. */
  readonly processGuids: readonly string[];
}

/** Reads one public key as it stands in a .pub file. @throws Error that says what is wrong with it */
export function parsePublicKey(line: string): { key: ParsedKey; fingerprint: string; text: string } {
  const parsed = ssh2.utils.parseKey(line.trim());
  if (parsed instanceof Error) throw new Error(`is no public key: ${parsed.message}`, { cause: parsed });
  if (parsed.isPrivateKey()) throw new Error('is a private key, which nobody else should see');
  if (!KEY_TYPES.test(parsed.type)) throw new Error(`is of type ${parsed.type}, which is not accepted`);
  const bits =
    parsed.type === 'ssh-rsa' ? createPublicKey(parsed.getPublicPEM()).asymmetricKeyDetails?.modulusLength : undefined;
  if (bits !== undefined && bits < MIN_RSA_BITS)
    throw new Error(`has ${bits} bits, of which RSA needs ${MIN_RSA_BITS}`);
  const blob = parsed.getPublicSSH();
  return { key: parsed, fingerprint: fingerprintOf(blob), text: `${parsed.type} ${blob.toString('base64')}` };
}

/** Public keys of the database and of a file, which is read again whenever it has changed. */
export class PublicKeys {
  #file: { readonly mtimeMs: number; readonly keys: ReadonlyMap<string, KnownKey> } | undefined;

  constructor(
    private readonly store: SshStore,
    private readonly path: string,
    private readonly warn: (facts: object, text: string) => void,
  ) {}

  /** @throws Refused */
  async find(algorithm: string, blob: Buffer): Promise<KnownKey> {
    const fingerprint = fingerprintOf(blob);
    const inFile = (await this.#fromFile()).get(fingerprint);
    if (inFile) return inFile;
    const stored = await this.store.findKey(fingerprint);
    if (!stored) throw new Refused(`public key ${fingerprint} (${algorithm.slice(0, 40)}) is not registered`);
    return { key: parsePublicKey(stored.publicKey).key, name: stored.name, processGuids: stored.processGuids };
  }

  async #fromFile(): Promise<ReadonlyMap<string, KnownKey>> {
    if (this.path === '') return new Map();
    const facts = await stat(this.path).catch(() => undefined);
    if (!facts || facts.size > MAX_FILE_BYTES) {
      this.warn({ file: this.path }, 'the file of authorized keys is missing or too large');
      return new Map();
    }
    if (this.#file?.mtimeMs === facts.mtimeMs) return this.#file.keys;
    const keys = new Map<string, KnownKey>();
    for (const [index, line] of (await readFile(this.path, 'utf8')).split('\n').entries()) {
      if (line.trim() === '' || line.startsWith('#')) continue;
      try {
        const { key, fingerprint } = parsePublicKey(line);
        keys.set(fingerprint, { key, name: key.comment || fingerprint, processGuids: [] });
      } catch (error) {
        // Options before a key restrict it: a line that is not understood opens nothing.
        const why = error instanceof Error ? error.message : String(error);
        this.warn({ file: this.path, line: index + 1, why }, 'a line of the authorized keys is not used');
      }
    }
    this.#file = { mtimeMs: facts.mtimeMs, keys };
    return keys;
  }
}
