import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { PeerCertificate } from 'node:tls';

/** What a certificate allows its holder: `client` everything a user may, `reader` only looking, `garden` containers of a cell. */
export type Role = 'client' | 'reader' | 'cell' | 'server' | 'garden';

export const ROLES: readonly Role[] = ['client', 'reader', 'cell', 'server', 'garden'];

/** Paths of PEM files. */
export interface IdentityFiles {
  ca: string;
  cert: string;
  key: string;
}

/** Who a program is: certificate and key, and the authority that it trusts. */
export interface Identity {
  readonly role: Role;
  readonly name: string;
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

/** Who is at the other end of a connection. */
export interface Peer {
  readonly role: Role;
  readonly name: string;
}

/**
 * Reads an identity and checks that it can be used.
 * @throws Error naming the file that is missing, does not fit the others, or has run out.
 */
export async function loadIdentity(files: IdentityFiles): Promise<Identity> {
  const caPem = await readFile(files.ca, 'utf8');
  const certPem = await readFile(files.cert, 'utf8');
  const keyPem = await readFile(files.key, 'utf8');
  const authority = parsed(files.ca, 'certificate', () => new X509Certificate(caPem));
  const certificate = parsed(files.cert, 'certificate', () => new X509Certificate(certPem));
  const key = parsed(files.key, 'private key', () => createPrivateKey(keyPem));
  if (!certificate.verify(authority.publicKey)) throw new Error(`${files.cert} was not issued by ${files.ca}`);
  if (!certificate.checkPrivateKey(key)) throw new Error(`${files.key} is not the key of ${files.cert}`);
  if (Date.parse(certificate.validTo) < Date.now()) throw new Error(`${files.cert} ran out on ${certificate.validTo}`);
  const peer = peerOf(certificate.toLegacyObject());
  if (!peer) throw new Error(`${files.cert} names no role: its subject needs a CN, and one OU of ${ROLES.join(', ')}`);
  return { ...peer, caPem, certPem, keyPem };
}

function parsed<T>(file: string, kind: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new Error(`${file} holds no ${kind}`, { cause: error });
  }
}

/**
 * Role and name of a certificate: OU and CN of its subject, each exactly once. Undefined for any other subject.
 * The chain has to be verified by whoever calls.
 */
export function peerOf(certificate: Pick<PeerCertificate, 'subject'>): Peer | undefined {
  const subject: { CN?: unknown; OU?: unknown } | undefined = certificate.subject;
  const name = subject?.CN;
  const role = ROLES.find((known) => known === subject?.OU);
  // A repeated attribute comes as an array, and which of them would count is anybody's guess.
  return role !== undefined && typeof name === 'string' && name !== '' ? { role, name } : undefined;
}
