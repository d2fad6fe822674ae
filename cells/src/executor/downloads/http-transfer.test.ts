import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Authority } from '@rivera/kit/tls/authority';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type TransferTls, transfer } from './http-transfer.js';

let folder: string;
let authority: Authority;
let server: Server;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'transfer-tls-'));
  authority = await Authority.open(folder);
  const { certPem, keyPem } = await authority.issue({ role: 'server', name: 'blobs', hosts: ['localhost'] });
  server = createServer({ cert: certPem, key: keyPem, ca: authority.caPem, requestCert: true });
  server.on('request', (_, response) => response.end('body'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

async function fetched(tls?: TransferTls): Promise<string> {
  const url = `https://localhost:${(server.address() as AddressInfo).port}/`;
  const settings = { connectTimeoutMs: 30_000, idleTimeoutMs: 30_000, tls };
  const signal = new AbortController().signal;
  return text((await transfer({ method: 'GET', url, headers: {}, signal }, settings)).body);
}

it('trusts the authority that the operator names, and shows the certificate that is asked for', async () => {
  const clientCertificate = await authority.issue({ role: 'client', name: 'cell' });
  await expect(fetched()).rejects.toThrow(/self.signed certificate/);
  await expect(fetched({ caPem: authority.caPem })).rejects.toThrow();
  expect(await fetched({ caPem: authority.caPem, clientCertificate })).toBe('body');
});
