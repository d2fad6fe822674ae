import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@rivera/kit/clock';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildBusyboxRootFs } from '../../garden/rootfs/busybox.js';
import { DockerRegistry } from '../testing/docker-registry.js';
import { digestOf } from '../testing/fake-image.js';
import { parseImageReference } from './reference.js';
import { defaultRegistrySettings, RegistryClient } from './registry-client.js';

let folder: string;
let registry: DockerRegistry;
let closed: DockerRegistry;
const client = new RegistryClient({ ...defaultRegistrySettings, retryBaseMs: 1 }, systemClock);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'docker-registry-test-'));
  await buildBusyboxRootFs(join(folder, 'busybox'));
  [registry, closed] = await Promise.all([DockerRegistry.start(), DockerRegistry.start('me:secret')]);
});
afterAll(async () => {
  await Promise.all([registry?.close(), closed?.close()]);
  await rm(folder, { recursive: true, force: true });
});

function asker(rootFs: string, password?: string) {
  const credentials = password === undefined ? undefined : { username: 'me', password };
  return { image: parseImageReference(rootFs), credentials, signal: AbortSignal.timeout(20_000) };
}

it('an image that was made and pushed by others is pulled', async () => {
  const changes = (rootFs: string) => writeFile(join(rootFs, 'etc/motd'), 'hello');
  const config = ['--config.user=vcap', '--config.workingdir=/srv', '--config.env=GREETING=hello'];
  const rootFs = await registry.push('team/app:1', { rootFs: join(folder, 'busybox'), changes, config });
  const { layers, defaults } = await client.resolve(asker(rootFs));
  expect(defaults).toMatchObject({ user: 'vcap', dir: '/srv', env: { GREETING: 'hello' } });
  expect(layers).toHaveLength(2);
  for (const layer of layers) {
    const path = join(folder, 'layer');
    await client.downloadLayer(layer, { ...asker(rootFs), path, onBytes: () => {} });
    expect(digestOf(await readFile(path))).toBe(layer.digest);
  }
  await expect(client.resolve(asker(rootFs.replace(':1', ':2')))).rejects.toMatchObject({ kind: 'not-found' });
  await expect(client.resolve(asker(rootFs.replace('app', 'other')))).rejects.toMatchObject({ kind: 'not-found' });
  await truncate(registry.blobFile(layers[0]?.digest ?? ''), 100);
  const path = join(folder, 'damaged');
  await expect(
    client.downloadLayer(layers[0] as never, { ...asker(rootFs), path, onBytes: () => {} }),
  ).rejects.toMatchObject({ kind: 'digest-mismatch' });
});

it('one that is not for everybody is pulled with the right password alone', async () => {
  const rootFs = await closed.push('app:1', { rootFs: join(folder, 'busybox') });
  expect((await client.resolve(asker(rootFs, 'secret'))).layers).toHaveLength(1);
  await expect(client.resolve(asker(rootFs, 'wrong'))).rejects.toMatchObject({ kind: 'unauthorised' });
  await expect(client.resolve(asker(rootFs))).rejects.toMatchObject({ kind: 'unauthorised' });
});
