import 'reflect-metadata';
import { createPrivateKey, X509Certificate as NodeCertificate, webcrypto } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { CERTIFICATE_MODE, createFile, KEY_MODE, readIfThere, replaceFile } from './files.js';
import { type IdentityFiles, peerOf, type Role } from './identity.js';
import { BACKDATED_MS, exportKey, generateKeys, KEY_ALGORITHM, SIGNATURE } from './keys.js';

const DAY_MS = 86_400_000;
const AUTHORITY_VALIDITY_DAYS = 3650;
const IDENTITY_VALIDITY_DAYS = 365;

export interface IssueOptions {
  readonly role: Role;
  /** Common name: of a cell its cell id. */
  readonly name: string;
  /** DNS names and IP addresses under which the holder is reached; `rivera-ROLE` is always among them. */
  readonly hosts?: readonly string[];
  /** Default 365. */
  readonly validityDays?: number;
}

/** A certificate authority in a folder. Whoever has its key can be anybody, so the key stays where it was made. */
export class Authority {
  readonly #key: webcrypto.CryptoKey;
  readonly #certificate: X509Certificate;
  readonly caPem: string;

  private constructor(key: webcrypto.CryptoKey, certificatePem: string) {
    this.#key = key;
    this.#certificate = new X509Certificate(certificatePem);
    this.caPem = certificatePem;
  }

  /**
   * Opens the authority in a folder, and makes one of this name when there is none.
   * The key file holds the certificate too, so that both come into being in one step.
   */
  static async open(dir: string, { name = 'Rivera certificate authority' } = {}): Promise<Authority> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const keyFile = join(dir, 'ca.key');
    let stored = await readIfThere(keyFile);
    if (stored === undefined) {
      await createFile(keyFile, await makeAuthority(name), KEY_MODE);
      stored = await readIfThere(keyFile);
    }
    const [keyPem, certificatePem] = partsOf(stored ?? '', keyFile);
    const certificateFile = join(dir, 'ca.crt');
    if ((await readIfThere(certificateFile)) !== certificatePem) {
      await replaceFile(certificateFile, certificatePem, CERTIFICATE_MODE);
    }
    const pkcs8 = createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' });
    const key = await webcrypto.subtle.importKey('pkcs8', pkcs8, KEY_ALGORITHM, false, ['sign']);
    return new Authority(key, certificatePem);
  }

  /** Makes a key and a certificate for it. The certificate never outlives the authority's own. */
  async issue(options: IssueOptions): Promise<{ certPem: string; keyPem: string }> {
    const { role, name, validityDays = IDENTITY_VALIDITY_DAYS } = options;
    if (name === '' || Buffer.byteLength(name) > 64) throw new Error(`a certificate's name has 1..64 bytes: "${name}"`);
    const now = Date.now();
    const keys = await generateKeys();
    const serves = role === 'server' || role === 'cell';
    const certificate = await X509CertificateGenerator.create({
      // Structured rather than as text, in which a name with a comma could add a role.
      subject: new Name([{ CN: [{ utf8String: name }] }, { OU: [{ utf8String: role }] }]).toJSON(),
      issuer: this.#certificate.subjectName,
      notBefore: new Date(now - BACKDATED_MS),
      notAfter: new Date(Math.min(now + validityDays * DAY_MS, this.#certificate.notAfter.getTime())),
      publicKey: keys.publicKey,
      signingKey: this.#key,
      signingAlgorithm: SIGNATURE,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension(
          serves ? [ExtendedKeyUsage.clientAuth, ExtendedKeyUsage.serverAuth] : [ExtendedKeyUsage.clientAuth],
        ),
        hostsExtension(options),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
        await AuthorityKeyIdentifierExtension.create(this.#certificate.publicKey),
      ],
    });
    return { certPem: certificate.toString('pem'), keyPem: await exportKey(keys.privateKey) };
  }

  /**
   * Keeps `ca.crt`, `NAME.crt` and `NAME.key` in a folder. What is there stays when it is for the same role, name and
   * hosts, comes from this authority, and has at least a third of its validity left.
   */
  async writeIdentity(dir: string, options: IssueOptions): Promise<IdentityFiles> {
    if (options.name === 'ca') throw new Error('"ca" is the name of the authority');
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const base = join(dir, encodeURIComponent(options.name));
    const files: IdentityFiles = { ca: join(dir, 'ca.crt'), cert: `${base}.crt`, key: `${base}.key` };
    if ((await readIfThere(files.ca)) !== this.caPem) await replaceFile(files.ca, this.caPem, CERTIFICATE_MODE);
    const [certPem, keyPem] = await Promise.all([readIfThere(files.cert), readIfThere(files.key)]);
    if (certPem !== undefined && keyPem !== undefined && this.#stillFits(certPem, keyPem, options)) return files;
    const issued = await this.issue(options);
    await replaceFile(files.key, issued.keyPem, KEY_MODE);
    await replaceFile(files.cert, issued.certPem, CERTIFICATE_MODE);
    return files;
  }

  #stillFits(certPem: string, keyPem: string, options: IssueOptions): boolean {
    try {
      const certificate = new X509Certificate(certPem);
      const node = new NodeCertificate(certPem);
      const peer = peerOf(node.toLegacyObject());
      const hosts = certificate.getExtension(SubjectAlternativeNameExtension);
      const from = certificate.notBefore.getTime();
      const until = certificate.notAfter.getTime();
      return (
        peer?.role === options.role &&
        peer.name === options.name &&
        node.verify(new NodeCertificate(this.caPem).publicKey) &&
        node.checkPrivateKey(createPrivateKey(keyPem)) &&
        hosts !== null &&
        Buffer.from(hosts.value).equals(Buffer.from(hostsExtension(options).value)) &&
        until - Date.now() >= (until - from) / 3
      );
    } catch {
      // Not a certificate, or not a key: it is replaced like one that has run out.
      return false;
    }
  }
}

async function makeAuthority(name: string): Promise<string> {
  const keys = await generateKeys();
  const now = Date.now();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: new Name([{ CN: [{ utf8String: name }] }]).toJSON(),
    notBefore: new Date(now - BACKDATED_MS),
    notAfter: new Date(now + AUTHORITY_VALIDITY_DAYS * DAY_MS),
    keys,
    signingAlgorithm: SIGNATURE,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return `${await exportKey(keys.privateKey)}${certificate.toString('pem')}\n`;
}

function partsOf(stored: string, file: string): [keyPem: string, certificatePem: string] {
  const parts = stored.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----/g) ?? [];
  const key = parts.find((part) => part.includes('PRIVATE KEY'));
  const certificate = parts.find((part) => part.includes('CERTIFICATE'));
  if (key === undefined || certificate === undefined) throw new Error(`${file} does not hold a key and a certificate`);
  return [`${key}\n`, `${certificate}\n`];
}

/** In a fixed order, so that equal hosts make equal bytes. */
function hostsExtension({ role, hosts = [] }: IssueOptions): SubjectAlternativeNameExtension {
  const names = [...new Set([`rivera-${role}`, ...hosts])].sort();
  return new SubjectAlternativeNameExtension(names.map((value) => ({ type: isIP(value) ? 'ip' : 'dns', value })));
}
