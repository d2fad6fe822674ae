import { webcrypto } from 'node:crypto';
import { PemConverter } from '@peculiar/x509';

/** What all keys that are made here are. */
export const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
/** How they sign. */
export const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' };
/** Clocks of machines differ; a certificate counts from a little before it was made. */
export const BACKDATED_MS = 5 * 60_000;

export async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify']);
}

/** PEM, PKCS #8. */
export async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}
