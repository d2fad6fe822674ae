import { createHash } from 'node:crypto';
import { chmodSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import ssh2 from 'ssh2';

const KEY_ATTEMPTS = 20;

/** The key that a proxy shows. */
export interface HostKey {
  /** OpenSSH's format, secret. */
  readonly privateKey: string;
  /** `ssh-ed25519 AAAA…`. */
  readonly publicLine: string;
  readonly fingerprint: string;
}

/** `SHA256:` and base64 without padding, as ssh-keygen shows it. */
export function fingerprintOf(publicKey: Buffer): string {
  return `SHA256:${createHash('sha256').update(publicKey).digest('base64').replace(/=+$/, '')}`;
}

/**
 * Reads the host key; makes one where there is none, whole or not at all, so that two proxies that start at once agree.
 * @throws Error that names the file when it holds no ed25519 key
 */
export function loadHostKey(file: string): HostKey {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    text = make(file);
  }
  const parsed = ssh2.utils.parseKey(text);
  if (parsed instanceof Error) throw new Error(`${file} holds no private key: ${parsed.message}`, { cause: parsed });
  if (parsed.type !== 'ssh-ed25519' || !parsed.isPrivateKey()) throw new Error(`${file} holds no private ed25519 key`);
  const blob = parsed.getPublicSSH();
  return {
    privateKey: text,
    publicLine: `ssh-ed25519 ${blob.toString('base64')}`,
    fingerprint: fingerprintOf(blob),
  };
}

/** In OpenSSH's format. One in 256 that ssh2 makes is malformed, as it drops a leading zero of the public key. */
export function newPrivateKey(): string {
  for (let attempt = 1; attempt <= KEY_ATTEMPTS; attempt++) {
    const { private: text } = ssh2.utils.generateKeyPairSync('ed25519', { comment: 'rivera' });
    if (!(ssh2.utils.parseKey(text) instanceof Error)) return text;
  }
  throw new Error(`no well-formed key came of ${KEY_ATTEMPTS} attempts`);
}

function make(file: string): string {
  const fresh = `${file}.${process.pid}`;
  writeFileSync(fresh, newPrivateKey(), { mode: 0o600 });
  chmodSync(fresh, 0o600);
  try {
    linkSync(fresh, file);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    rmSync(fresh, { force: true });
  }
  return readFileSync(file, 'utf8');
}
