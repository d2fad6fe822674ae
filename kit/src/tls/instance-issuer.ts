import 'reflect-metadata';
import { createPrivateKey, type KeyObject, X509Certificate as NodeCertificate, webcrypto } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { BACKDATED_MS, exportKey, generateKeys, SIGNATURE } from './keys.js';

/** Whose certificate it is to be. */
export interface InstanceCertificateRequest {
  /** Common name and DNS name; 1..64 bytes. */
  guid: string;
  /** Units of the subject. */
  organizationalUnits: readonly string[];
  addresses: readonly string[];
  nowMs: number;
  validityMs: number;
}

/** A certificate with its key, PEM. */
export interface InstanceCertificate {
  /** The instance's own, then the authority's. */
  chainPem: string;
  keyPem: string;
}

/** Signs certificates of containers with the authority that an operator gave to this cell (spec cell §33). */
export class InstanceIssuer {
  private constructor(
    private readonly certificate: X509Certificate,
    private readonly key: webcrypto.CryptoKey,
    private readonly signature: { name: string; hash: string },
    /** What is the same in every certificate: to encode it each time takes as long as the rest. */
    private readonly common: readonly Extension[],
    /** The authority's certificate. */
    readonly caPem: string,
  ) {}

  /**
   * Reads the authority. It must not be the platform's own: a definition names its organisational units, and "server" would be a role
   * among the platform's certificates.
   * @throws Error that names the file and what is wrong with it
   */
  static async open({ ca, key, platformCaPem }: { ca: string; key: string; platformCaPem: string }) {
    const [caPem, keyPem] = await Promise.all([readFile(ca, 'utf8'), readFile(key, 'utf8')]);
    const certificate = parsed(ca, 'certificate', () => new NodeCertificate(caPem));
    const privateKey = parsed(key, 'private key', () => createPrivateKey(keyPem));
    if (!certificate.ca) throw new Error(`${ca} is not the certificate of an authority`);
    if (!certificate.checkPrivateKey(privateKey)) throw new Error(`${key} is not the key of ${ca}`);
    const platform = new NodeCertificate(platformCaPem);
    if (spki(platform).equals(spki(certificate)))
      throw new Error(
        `${ca} is the platform's own authority, with which a container could become a server; give containers another`,
      );
    const own = new X509Certificate(certificate.raw);
    const { algorithm, signature } = algorithmsOf(privateKey, key);
    const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
    const signingKey = await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']);
    return new InstanceIssuer(
      own,
      signingKey,
      signature,
      await commonExtensions(own),
      `${certificate.toString().trimEnd()}\n`,
    );
  }

  /** Makes a key and a certificate for it, for clients and servers alike. It never outlives the authority's own. */
  async issue({
    guid,
    organizationalUnits,
    addresses,
    nowMs,
    validityMs,
  }: InstanceCertificateRequest): Promise<InstanceCertificate> {
    const notAfterMs = Math.min(nowMs + validityMs, this.certificate.notAfter.getTime());
    if (notAfterMs <= nowMs) throw new Error("the authority of containers' certificates has run out");
    const keys = await generateKeys();
    const certificate = await X509CertificateGenerator.create({
      // Structured rather than as text, in which a unit with a comma could add parts.
      subject: new Name([
        { CN: [{ utf8String: guid }] },
        ...organizationalUnits.map((unit) => ({ OU: [{ utf8String: unit }] })),
      ]).toJSON(),
      issuer: this.certificate.subjectName,
      notBefore: new Date(nowMs - BACKDATED_MS),
      notAfter: new Date(notAfterMs),
      publicKey: keys.publicKey,
      signingKey: this.key,
      signingAlgorithm: this.signature,
      extensions: [
        ...this.common,
        new SubjectAlternativeNameExtension([
          { type: 'dns', value: guid },
          ...addresses.map((value) => ({ type: 'ip' as const, value })),
        ]),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return { chainPem: `${certificate.toString('pem')}\n${this.caPem}`, keyPem: await exportKey(keys.privateKey) };
  }
}

async function commonExtensions(authority: X509Certificate): Promise<Extension[]> {
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyAgreement, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth, ExtendedKeyUsage.serverAuth]),
    await AuthorityKeyIdentifierExtension.create(authority.publicKey),
  ];
}

/** Compared as bytes: keys of two kinds can't be compared as keys. */
function spki({ publicKey }: NodeCertificate): Buffer {
  return publicKey.export({ type: 'spki', format: 'der' });
}

function parsed<T>(file: string, what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new Error(`${file} holds no ${what}`, { cause });
  }
}

/** An operator's authority may have an elliptic key or one of RSA. */
function algorithmsOf(key: KeyObject, file: string) {
  const curve = { prime256v1: 'P-256', secp384r1: 'P-384' }[key.asymmetricKeyDetails?.namedCurve ?? ''];
  if (key.asymmetricKeyType === 'ec' && curve !== undefined)
    return { algorithm: { name: 'ECDSA', namedCurve: curve }, signature: SIGNATURE };
  const rsa = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  if (key.asymmetricKeyType === 'rsa') return { algorithm: rsa, signature: rsa };
  throw new Error(`${file} must be a key of RSA or of the curves P-256 or P-384`);
}
