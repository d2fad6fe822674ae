import { X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Authority } from './authority.js';
import { loadIdentity } from './identity.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rivera-authority-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const mode = async (file: string) => ((await stat(file)).mode & 0o777).toString(8);

describe('the authority', () => {
  test('is made once, and found again', async () => {
    const first = await Authority.open(join(dir, 'ca'));
    const second = await Authority.open(join(dir, 'ca'));
    expect(second.caPem).toBe(first.caPem);
    const { certPem } = await second.issue({ role: 'client', name: 'ada' });
    const authority = new X509Certificate(first.caPem);
    expect(authority.ca).toBe(true);
    expect(new X509Certificate(certPem).verify(authority.publicKey)).toBe(true);
  });

  test('keeps its key to itself', async () => {
    await Authority.open(join(dir, 'ca'));
    expect(await mode(join(dir, 'ca'))).toBe('700');
    expect(await mode(join(dir, 'ca', 'ca.key'))).toBe('600');
    expect(await readFile(join(dir, 'ca', 'ca.crt'), 'utf8')).not.toContain('PRIVATE');
  });

  test('is one for two that make it at once', async () => {
    const all = await Promise.all(Array.from({ length: 5 }, () => Authority.open(dir)));
    expect(new Set(all.map(({ caPem }) => caPem)).size).toBe(1);
    expect((await readdir(dir)).sort()).toEqual(['ca.crt', 'ca.key']);
  });

  test('refuses a folder whose key was damaged, rather than make a new one', async () => {
    await Authority.open(dir);
    await writeFile(join(dir, 'ca.key'), 'nonsense');
    await expect(Authority.open(dir)).rejects.toThrow('ca.key does not hold a key and a certificate');
  });
});

describe('a certificate', () => {
  test('says role, name and hosts, and what it may be used for', async () => {
    const authority = await Authority.open(dir);
    const { certPem } = await authority.issue({
      role: 'cell',
      name: 'cell-1',
      hosts: ['10.0.0.1', 'cell.example', '::1'],
    });
    const certificate = new X509Certificate(certPem);
    expect(certificate.subject.split('\n').sort()).toEqual(['CN=cell-1', 'OU=cell']);
    expect(certificate.ca).toBe(false);
    expect(certificate.checkIP('10.0.0.1')).toBe('10.0.0.1');
    expect(certificate.checkIP('::1')).toBe('::1');
    expect(certificate.checkHost('cell.example')).toBe('cell.example');
    expect(certificate.checkHost('rivera-cell')).toBe('rivera-cell');
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
  });

  test('never outlives its authority', async () => {
    const authority = await Authority.open(dir);
    const { certPem } = await authority.issue({ role: 'client', name: 'ada', validityDays: 100_000 });
    expect(new X509Certificate(certPem).validTo).toBe(new X509Certificate(authority.caPem).validTo);
  });

  test('has a name that fits', async () => {
    const authority = await Authority.open(dir);
    await expect(authority.issue({ role: 'client', name: '' })).rejects.toThrow('1..64 bytes');
    await expect(authority.issue({ role: 'client', name: 'x'.repeat(65) })).rejects.toThrow('1..64 bytes');
  });
});

describe('an identity on disk', () => {
  let authority: Authority;
  beforeEach(async () => {
    authority = await Authority.open(join(dir, 'ca'));
  });
  const write = (options: Partial<Parameters<Authority['writeIdentity']>[1]> = {}) =>
    authority.writeIdentity(join(dir, 'id'), {
      role: 'server',
      name: 'one',
      hosts: ['b.example', 'a.example'],
      ...options,
    });

  test('can be loaded, and its key is for its owner alone', async () => {
    const files = await write();
    expect(await loadIdentity(files)).toMatchObject({ role: 'server', name: 'one', caPem: authority.caPem });
    expect(await mode(files.key)).toBe('600');
    expect((await readdir(join(dir, 'id'))).sort()).toEqual(['ca.crt', 'one.crt', 'one.key']);
  });

  test('stays while it fits', async () => {
    const before = await loadIdentity(await write());
    const after = await loadIdentity(await write({ hosts: ['a.example', 'b.example'] }));
    expect(after).toEqual(before);
  });

  test.each([
    ['its hosts', { hosts: ['a.example'] }],
    ['its role', { role: 'cell' as const }],
  ])('is renewed when %s change', async (_, change) => {
    const before = await loadIdentity(await write());
    const after = await loadIdentity(await write(change));
    expect(after.certPem).not.toBe(before.certPem);
    expect(after.keyPem).not.toBe(before.keyPem);
  });

  test('is renewed when less than a third of its validity is left', async () => {
    const files = await write();
    // Valid for eight minutes from five minutes ago: three are left, of which a third would be 2:40.
    const fresh = await authority.issue({
      role: 'server',
      name: 'one',
      hosts: ['a.example', 'b.example'],
      validityDays: 3 / 1440,
    });
    await writeFile(files.cert, fresh.certPem);
    await writeFile(files.key, fresh.keyPem);
    expect((await loadIdentity(await write())).certPem).toBe(fresh.certPem);
    const late = await authority.issue({
      role: 'server',
      name: 'one',
      hosts: ['a.example', 'b.example'],
      validityDays: 2 / 1440,
    });
    await writeFile(files.cert, late.certPem);
    await writeFile(files.key, late.keyPem);
    expect((await loadIdentity(await write())).certPem).not.toBe(late.certPem);
  });

  test('is renewed when it comes from another authority, or is damaged', async () => {
    const files = await write();
    const before = await loadIdentity(files);
    await writeFile(files.key, 'nonsense');
    const repaired = await loadIdentity(await write());
    expect(repaired.certPem).not.toBe(before.certPem);
    authority = await Authority.open(join(dir, 'other-ca'));
    expect((await loadIdentity(await write())).caPem).toBe(authority.caPem);
  });

  test('a name stays inside its folder', async () => {
    const files = await write({ name: '../../evil' });
    expect(files.key.startsWith(join(dir, 'id'))).toBe(true);
    await expect(write({ name: 'ca' })).rejects.toThrow('name of the authority');
  });

  test('parts that do not belong together are refused', async () => {
    const one = await write();
    const two = await write({ name: 'two' });
    await expect(loadIdentity({ ...one, key: two.key })).rejects.toThrow('two.key is not the key of');
    await Authority.open(join(dir, 'other-ca'));
    await expect(loadIdentity({ ...one, ca: join(dir, 'other-ca', 'ca.crt') })).rejects.toThrow('was not issued by');
    await expect(loadIdentity({ ...one, cert: join(dir, 'nowhere.crt') })).rejects.toThrow('nowhere.crt');
    await expect(loadIdentity({ ...one, key: one.cert })).rejects.toThrow('one.crt holds no private key');
  });

  test('one that has run out is refused', async () => {
    const files = await write();
    const { certPem, keyPem } = await authority.issue({ role: 'server', name: 'one', validityDays: -1 / 1440 });
    await writeFile(files.cert, certPem);
    await writeFile(files.key, keyPem);
    await expect(loadIdentity(files)).rejects.toThrow('one.crt ran out on');
    expect((await loadIdentity(await write())).certPem).not.toBe(certPem);
  });
});
