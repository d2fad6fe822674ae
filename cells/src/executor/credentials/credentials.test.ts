import { createPrivateKey, X509Certificate } from 'node:crypto';
import { lstat, mkdtemp, readdir, readFile, readlink, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import { Authority } from '@rivera/kit/tls/authority';
import { InstanceIssuer } from '@rivera/kit/tls/instance-issuer';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import type { ExecutorConfig } from '../config.js';
import { run, TestCell } from '../testing.js';
import { rotationDueMs } from './credential-step.js';

const HOUR_MS = 3_600_000;
let folder: string;
let issuer: InstanceIssuer;
let cell: TestCell;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'credentials-'));
  const platform = await Authority.open(join(folder, 'platform'));
  issuer = await authority('instances', platform.caPem);
});
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(() => cell?.close());

async function authority(name: string, platformCaPem: string): Promise<InstanceIssuer> {
  await Authority.open(join(folder, name));
  const files = { ca: join(folder, name, 'ca.crt'), key: join(folder, name, 'ca.key') };
  return InstanceIssuer.open({ ...files, platformCaPem });
}

async function open(config: Partial<ExecutorConfig> = {}): Promise<void> {
  cell = await TestCell.open(config, (fresh) => {
    fresh.issuer = issuer;
  });
}

const directory = () => join(cell.directory, 'credentials/c');

/** What a program in the container reads that resolves the link once; it has to belong together. */
async function pair(): Promise<X509Certificate> {
  const current = await realpath(join(directory(), '..current'));
  const certificate = new X509Certificate(await readFile(join(current, 'instance.crt')));
  const key = createPrivateKey(await readFile(join(current, 'instance.key')));
  expect(certificate.checkPrivateKey(key)).toBe(true);
  return certificate;
}

/** Lets time go by until the certificate is another one. */
async function rotated(before: X509Certificate): Promise<X509Certificate> {
  for (let now = await pair(); ; now = await pair()) {
    if (now.serialNumber !== before.serialNumber) return now;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

it.each([
  [24 * HOUR_MS, 24 * HOUR_MS - HOUR_MS / 2],
  [4 * HOUR_MS, 3.5 * HOUR_MS],
  [4 * HOUR_MS + 8, 3.5 * HOUR_MS + 8],
  [8 * 60_000, 7 * 60_000],
])('a certificate of %d ms is replaced after %d ms', (validityMs, dueMs) => {
  expect(rotationDueMs({ endMs: validityMs, validityMs })).toBe(dueMs);
});

it('is there before the first process, names the container, and goes with it', async () => {
  await open();
  const container = ContainerSpec.fromPartial({
    rootFs: 'preloaded:busybox',
    certificateProperties: { organizationalUnit: ['org:one', 'app:two'] },
  });
  await cell.run('c', { action: run('/sim/run'), container });
  const record = await cell.reaches('c', 'running');
  const certificate = await pair();
  expect(certificate.subject).toBe('CN=c\nOU=org:one\nOU=app:two');
  expect(certificate.subjectAltName).toBe(`DNS:c, IP Address:${record.network?.containerAddress}`);
  const { spec } = cell.garden.lookup('c') as NonNullable<ReturnType<typeof cell.garden.lookup>>;
  expect(spec.mounts).toEqual([{ source: directory(), destination: '/etc/cf-instance-credentials', readOnly: true }]);
  expect(spec.env).toMatchObject({
    CF_INSTANCE_CERT: '/etc/cf-instance-credentials/instance.crt',
    CF_INSTANCE_KEY: '/etc/cf-instance-credentials/instance.key',
  });
  await cell.executor.delete('c');
  await expect(lstat(directory())).rejects.toThrow('ENOENT');
});

it('is replaced before it ends, both files by one link', async () => {
  await open();
  await cell.run('c', { action: run('/sim/run') });
  await cell.reaches('c', 'running');
  const first = await pair();
  const link = await readlink(join(directory(), '..current'));
  await cell.clock.advance(23.4 * HOUR_MS);
  expect((await pair()).serialNumber).toBe(first.serialNumber);
  await cell.clock.advance(0.2 * HOUR_MS);
  const second = await rotated(first);
  expect(Date.parse(second.validTo)).toBeGreaterThan(Date.parse(first.validTo));
  expect(await readlink(join(directory(), '..current'))).not.toBe(link);
  // Who resolved the link before can still read on.
  expect((await readdir(join(directory(), link))).sort()).toEqual(['instance.crt', 'instance.key']);
  for (const name of ['instance.crt', 'instance.key'])
    expect(await readFile(join(directory(), name), 'utf8')).toBe(
      await readFile(join(directory(), '..current', name), 'utf8'),
    );
  await vi.waitFor(() => expect(cell.executor.counts().credentials).toMatchObject({ succeeded: 2, failed: 0 }), 30_000);
});

it('outlives the agent, unless the authority is another one now', async () => {
  await open();
  await cell.run('c', { action: run('/sim/run') });
  await cell.reaches('c', 'running');
  const first = await pair();
  await cell.restart();
  await cell.clock.advance(60_000);
  expect((await pair()).serialNumber).toBe(first.serialNumber);
  const before = cell.issuer as InstanceIssuer;
  cell.issuer = await authority('next', before.caPem);
  await cell.restart();
  const second = await rotated(first);
  expect(second.verify(new X509Certificate(cell.issuer.caPem).publicKey)).toBe(true);
  expect(cell.executor.get('c')?.state).toBe('running');
});

it('a replacement that fails is tried again; only when the certificate has run out the container ends', async () => {
  await open();
  let calls = 0;
  cell.issuer = Object.assign(Object.create(issuer), {
    caPem: issuer.caPem,
    issue: (request: Parameters<InstanceIssuer['issue']>[0]) =>
      ++calls === 1 ? issuer.issue(request) : Promise.reject(new Error('no entropy')),
  });
  await cell.restart();
  await cell.run('c', { action: run('/sim/run') });
  await cell.reaches('c', 'running');
  await cell.clock.advance(23.6 * HOUR_MS);
  expect(cell.executor.get('c')?.state).toBe('running');
  await cell.clock.advance(HOUR_MS);
  expect(await cell.ends('c')).toBe('failed: cred-manager-runner exited: no entropy');
  expect(calls).toBeGreaterThan(10);
  // A later agent doesn't take what followed for another reason.
  await cell.restart();
  expect(await cell.ends('c')).toBe('failed: cred-manager-runner exited: no entropy');
});

it('without an authority there is nothing of it, and trusted certificates appear where both want them', async () => {
  cell = await TestCell.open({ trustedCertificatesDir: '/etc/ssl/certs' });
  const container = ContainerSpec.fromPartial({
    rootFs: 'preloaded:busybox',
    trustedSystemCertificatesPath: '/etc/cf-system-certificates',
  });
  await cell.run('c', { action: run('/sim/run'), container });
  await cell.run('d', { action: run('/sim/run') });
  await Promise.all(['c', 'd'].map((guid) => cell.reaches(guid, 'running')));
  expect(cell.garden.lookup('c')?.spec).toMatchObject({
    mounts: [{ source: '/etc/ssl/certs', destination: '/etc/cf-system-certificates', readOnly: true }],
    env: { CF_SYSTEM_CERT_PATH: '/etc/cf-system-certificates' },
  });
  expect(cell.garden.lookup('d')?.spec).toMatchObject({ mounts: [], env: {} });
  expect(await readdir(join(cell.directory, 'credentials'))).toEqual([]);
});
