import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Authority } from './authority.js';
import { InstanceIssuer } from './instance-issuer.js';

const DAY_MS = 86_400_000;
const nowMs = Date.now();
const request = {
  guid: 'c0ffee',
  organizationalUnits: ['space:one', 'app, with comma'],
  addresses: ['10.255.0.2', 'fd00::2'],
  nowMs,
  validityMs: DAY_MS,
};

let dir: string;
let platformCaPem: string;
let own: { ca: string; key: string };

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rivera-issuer-'));
  platformCaPem = (await Authority.open(join(dir, 'platform'))).caPem;
  await Authority.open(join(dir, 'instances'));
  own = { ca: join(dir, 'instances/ca.crt'), key: join(dir, 'instances/ca.key') };
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const made = async (change: Partial<typeof request> = {}, files = own) => {
  const issuer = await InstanceIssuer.open({ ...files, platformCaPem });
  const { chainPem, keyPem } = await issuer.issue({ ...request, ...change });
  const leaf = new X509Certificate(chainPem);
  const authority = new X509Certificate(chainPem.slice(chainPem.lastIndexOf('-----BEGIN')));
  expect(leaf.verify(authority.publicKey) && leaf.checkIssued(authority)).toBe(true);
  expect(leaf.checkPrivateKey(createPrivateKey(keyPem))).toBe(true);
  return { leaf, keyPem };
};

describe('a certificate of a container', () => {
  test('says who it is, where it is, what it is for and for how long', async () => {
    const { leaf } = await made();
    expect(leaf.subject.split('\n')).toEqual(['CN=c0ffee', 'OU=space:one', 'OU=app\\, with comma']);
    expect(leaf.subjectAltName).toBe('DNS:c0ffee, IP Address:10.255.0.2, IP Address:FD00:0:0:0:0:0:0:2');
    expect(leaf.ca).toBe(false);
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.1']);
    expect(Math.abs(Date.parse(leaf.validTo) - nowMs - DAY_MS)).toBeLessThan(1000);
    expect(leaf.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
  });

  test('is another one each time', async () => {
    const [one, two] = await Promise.all([made(), made()]);
    expect(one.leaf.serialNumber).not.toBe(two.leaf.serialNumber);
    expect(one.keyPem).not.toBe(two.keyPem);
  });

  test('never outlives its authority', async () => {
    const { leaf } = await made({ validityMs: 100_000 * DAY_MS });
    expect(leaf.validTo).toBe(new X509Certificate(await readFile(own.ca)).validTo);
    await expect(made({ nowMs: nowMs + 4000 * DAY_MS })).rejects.toThrow('has run out');
  });

  test.each([
    ['rsa', ['-newkey', 'rsa:2048']],
    ['secp384r1', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp384r1']],
  ])("an operator's authority may have a key of %s", async (name, newKey) => {
    const files = { ca: join(dir, `${name}.crt`), key: join(dir, `${name}.key`) };
    const options = ['-nodes', '-subj', '/CN=theirs', '-days', '30', '-out', files.ca, '-keyout', files.key];
    execFileSync('openssl', ['req', '-x509', ...newKey, ...options], { stdio: 'pipe' });
    await made({}, files);
  });
});

describe('an authority is refused', () => {
  const opening = (files: Partial<typeof own>) => InstanceIssuer.open({ ...own, ...files, platformCaPem });

  test("when it is the platform's own, as a definition could name a role then", async () => {
    const platform = { ca: join(dir, 'platform/ca.crt'), key: join(dir, 'platform/ca.key') };
    await expect(opening(platform)).rejects.toThrow("platform's own authority");
  });

  test('when its parts are missing, damaged or of different ones', async () => {
    await writeFile(join(dir, 'nonsense'), 'nonsense');
    await expect(opening({ ca: join(dir, 'nowhere') })).rejects.toThrow('nowhere');
    await expect(opening({ ca: join(dir, 'nonsense') })).rejects.toThrow('nonsense holds no certificate');
    await expect(opening({ key: join(dir, 'nonsense') })).rejects.toThrow('nonsense holds no private key');
    await expect(opening({ key: join(dir, 'platform/ca.key') })).rejects.toThrow('is not the key of');
    const authority = await Authority.open(join(dir, 'instances'));
    const files = await authority.writeIdentity(join(dir, 'leaf'), { role: 'client', name: 'leaf' });
    await expect(opening({ ca: files.cert, key: files.key })).rejects.toThrow('not the certificate of an authority');
  });
});
