import { mkdtempSync, readdirSync } from 'node:fs';
import { rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildBusyboxRootFs } from '@rivera/cells/garden/rootfs/busybox';
import { DockerRegistry } from '@rivera/cells/images/testing/docker-registry';
import { fakeImage, layerTar } from '@rivera/cells/images/testing/fake-image';
import { FakeRegistry } from '@rivera/cells/images/testing/fake-registry';
import { RunAction } from '@rivera/gen/rivera/recipe/v1/action';
import type { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { container, get, task, urlOf, webApp } from '../stack/work.js';

let stack: Stack;
let client: RiveraClient;
let registry: DockerRegistry;
let closed: DockerRegistry;
let folder: string;
/** `docker://…` of an image of the open registry, and of one of the closed registry. */
let open: string;
let secret: string;
/** One that knows what it runs, and on which port. */
let web: string;
let made = 0;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rivera-e2e-images-'));
  const rootFs = join(folder, 'busybox');
  await buildBusyboxRootFs(rootFs);
  [registry, closed] = await Promise.all([DockerRegistry.start(), DockerRegistry.start('me:secret')]);
  const config = ['--config.env=GREETING=from the image', '--config.workingdir=/srv'];
  open = await registry.push('team/app:1', { rootFs, config });
  const server = 'mkdir -p /www; echo "hello from $0" > /www/index.html; exec httpd -f -p 8080 -h /www';
  const entry = ['/bin/sh', '-c', server].map((word) => `--config.entrypoint=${word}`);
  const exposed = ['--config.cmd=the image', '--config.exposedports=8080/tcp'];
  web = await registry.push('team/web:1', { rootFs, config: [...entry, ...exposed] });
  secret = await closed.push('app:1', { rootFs });
  stack = await Stack.start({ server: { bbs: { taskRetryBackoff: '100ms' } } });
  client = await stack.client();
}, 120_000);
afterAll(async () => {
  await stack?.close();
  await Promise.all([registry?.close(), closed?.close()]);
  await rm(folder, { recursive: true, force: true });
}, 120_000);

/** How a task ends that runs in an image. */
async function outcome(script: string, spec: Partial<ContainerSpec>): Promise<string> {
  const taskGuid = `image-${++made}`;
  const definition = task(script, { resultFile: '/tmp/result' }, spec);
  await until('the server takes it', () => client.tasks.desire({ taskGuid, domain: 'test', definition }));
  const done = await client.tasks.waitForCompletion(taskGuid, { timeoutMs: 60_000 });
  return done.failed ? `failed: ${done.failureReason}` : done.result;
}

const SAY = 'echo "$GREETING in $PWD" > /tmp/result';
const halfMade = () => readdirSync(join(stack.folder, 'cell-1/images/tmp'));

describe('an image of a registry', { timeout: 90_000 }, () => {
  it('is what a task and the instances of an LRP run in', async () => {
    expect(await outcome(SAY, { rootFs: open })).toBe('from the image in /srv\n');
    await client.desiredLrps.desire(
      webApp('in-image', 2, { container: container({ rootFs: open, logGuid: 'in-image' }) }),
    );
    const instances = await client.actualLrps.waitForRunning('in-image', { timeoutMs: 60_000 });
    expect(instances).toHaveLength(2);
    for (const instance of instances) expect(await get(urlOf(instance))).toContain(`${instance.instanceGuid} `);
    await client.desiredLrps.remove('in-image');
  });

  it('runs its own program on its own port where nobody says otherwise', async () => {
    const entry = RunAction.fromPartial({});
    const lrp = webApp('entry', 1, {
      container: container({ rootFs: web, logGuid: 'entry' }),
      action: { action: { $case: 'runAction', value: entry } },
      ports: [],
      checkDefinition: undefined,
    });
    await client.desiredLrps.desire(lrp);
    const [instance] = await client.actualLrps.waitForRunning('entry', { timeoutMs: 60_000 });
    if (instance === undefined) throw new Error('nothing runs');
    expect(await until('it answers', () => get(urlOf(instance)))).toBe('hello from the image');
    await client.desiredLrps.remove('entry');
  });

  it('that is not for everybody needs the right credentials', async () => {
    const image = secret.slice('docker://'.length);
    const unauthorised = `failed: failed to create container: image ${image}: unauthorised: `;
    const me = { imageUsername: 'me', imagePassword: 'secret' };
    expect(await outcome('echo in > /tmp/result', { rootFs: secret, ...me })).toBe('in\n');
    expect(await outcome(SAY, { rootFs: secret, ...me, imagePassword: 'guess' })).toBe(
      `${unauthorised}user 'me' may not pull it, or the password is wrong`,
    );
    expect(await outcome(SAY, { rootFs: secret })).toContain(`${unauthorised}it is not there for everybody`);
  });

  it('that can not be had is the reason why there is no instance, and no task', async () => {
    const missing = open.replace(':1', ':2');
    const reason = `failed to create container: image ${missing.slice('docker://'.length)}: the registry has no such image`;
    expect(await outcome(SAY, { rootFs: missing })).toBe(`failed: ${reason}`);
    // At once, not after all cells were tried.
    expect((await client.tasks.get(`image-${made}`)).rejectionCount).toBe(0);
    await client.desiredLrps.desire(webApp('missing', 1, { container: container({ rootFs: missing }) }));
    await until('the reason is told', async () => {
      const [instance] = await client.actualLrps.get('missing', 0);
      return `${instance?.placementError} ${instance?.crashReason}`.includes(reason);
    });
    await client.desiredLrps.remove('missing');
  });

  it('whose content is not what it says is refused', async () => {
    const rootFs = await registry.push('damaged:1', {
      rootFs: join(folder, 'busybox'),
      config: ['--config.env=DAMAGED=yes'],
      changes: (dir) => rm(join(dir, 'etc/os-release')),
    });
    const name = rootFs.slice('docker://'.length);
    const answer = await fetch(`http://${registry.host}/v2/damaged/manifests/1`, {
      headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
    });
    const { layers } = (await answer.json()) as { layers: { digest: string; size: number }[] };
    const layer = layers.at(-1);
    await truncate(registry.blobFile(layer?.digest ?? ''), 10);
    expect(await outcome(SAY, { rootFs })).toBe(
      `failed: failed to create container: image ${name}: layer ${layer?.digest} has 10 bytes instead of ${layer?.size}`,
    );
    // The first layer that fails ends the pull; the others stop, and clear up, behind it.
    await until('nothing half made is left', () => halfMade().length === 0);
  });

  it('that was being fetched when the agent was killed leaves nothing, and is fetched by the next', async () => {
    const slow = await FakeRegistry.open();
    const [cell] = stack.cells;
    try {
      const tar = await layerTar([{ name: 'big', content: 'x'.repeat(1_000_000) }]);
      const rootFs = slow.push(
        'slow',
        '1',
        fakeImage([tar], { packed: (plain) => plain, layerType: 'application/vnd.oci.image.layer.v1.tar' }),
      );
      const asked = new Promise<void>((resolve) => {
        slow.intercept = ({ url }, response) => {
          if (!url?.includes('/blobs/') || slow.asked.filter((each) => each.includes('/blobs/')).length < 2)
            return false;
          response.writeHead(200, { 'content-length': tar.length });
          response.write(tar.subarray(0, 100_000));
          resolve();
          return true;
        };
      });
      const taskGuid = 'killed';
      const definition = task('true', {}, { rootFs });
      await client.tasks.desire({ taskGuid, domain: 'test', definition });
      await asked;
      await until('something is half made', () => halfMade().length > 0);
      await cell?.kill();
      slow.intercept = () => false;
      cell?.start();
      await until('the next one has cleared up', () => halfMade().length === 0);
      const done = await client.tasks.waitForCompletion(taskGuid, { timeoutMs: 60_000 });
      // There is no shell in it: it got as far as running.
      expect(done.failureReason).toContain('/bin/sh');
    } finally {
      await slow.close();
    }
    expect(await outcome(SAY, { rootFs: open })).toBe('from the image in /srv\n');
  });
});
