import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Authority } from '@rivera/kit/tls/authority';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fetchFile } from './fetch-file.js';
import { type TransferTls, transfer } from './http-transfer.js';
import { TestServer } from './server-for-tests.js';
import { uploadFile } from './upload-file.js';

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

it('a server that never comes to an end is given up in time, also when the collector was there meanwhile', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const server = await TestServer.open();
  const collecting = setInterval(collect, 20);
  try {
    server.answer = (_request, response) => {
      const dripping = setInterval(() => response.write('.'), 10);
      response.on('close', () => clearInterval(dripping));
    };
    const attempt = { connectTimeoutMs: 1000, idleTimeoutMs: 1000, totalTimeoutMs: 300, attempts: 1 };
    const { signal } = new AbortController();
    const settings = { ...attempt, retryBaseMs: 1, retryMaxMs: 1, maxBytes: 1_000_000 };
    const path = join(folder, 'endless');
    await expect(fetchFile({ url: server.url, path, signal }, settings, async () => undefined)).rejects.toThrow(
      'Download failed: timed out',
    );
    await writeFile(path, 'content');
    await expect(uploadFile({ url: server.url, path, signal }, attempt)).rejects.toThrow('Upload failed');
  } finally {
    clearInterval(collecting);
    await server.close();
  }
});
