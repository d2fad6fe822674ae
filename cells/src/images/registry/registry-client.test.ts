import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@rivera/kit/clock';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { blob, digestOf, type FakeImage, fakeImage, indexOf, layerTar, manifestOf } from '../testing/fake-image.js';
import { FakeRegistry } from '../testing/fake-registry.js';
import type { Credentials } from './auth.js';
import { parseImageReference } from './reference.js';
import { defaultRegistrySettings, RegistryClient, type RegistrySettings } from './registry-client.js';

const machine = { os: 'linux', architecture: 'amd64' };
const ME: Credentials = { username: 'me', password: 'secret' };

let registry: FakeRegistry;
let image: FakeImage;
let folder: string;

beforeEach(async () => {
  registry = await FakeRegistry.open();
  folder = await mkdtemp(join(tmpdir(), 'registry-client-'));
  const config = {
    Env: ['A=1', 'B=x=y', 'bad'],
    User: 'vcap',
    Entrypoint: ['/bin/app'],
    Cmd: ['serve'],
    ExposedPorts: { '8080/tcp': {}, '9090': {}, '53/udp': {}, '80/TCP': {}, '0/tcp': {}, nonsense: {} },
    WorkingDir: '/srv',
  };
  const tars = [await layerTar([{ name: 'a', content: 'a'.repeat(100_000) }]), await layerTar([{ name: 'b' }])];
  image = fakeImage(tars, { config, architecture: 'amd64' });
});
afterEach(async () => {
  await registry.close();
  await rm(folder, { recursive: true, force: true });
});

function client(settings: Partial<RegistrySettings> = {}): RegistryClient {
  return new RegistryClient({ ...defaultRegistrySettings, retryBaseMs: 1, ...settings }, systemClock);
}

function asker(rootFs = `docker://${registry.host}/app:1`, credentials?: Credentials) {
  return { image: parseImageReference(rootFs), credentials, signal: new AbortController().signal };
}

const resolve = (rootFs?: string, o: { credentials?: Credentials; by?: RegistryClient } = {}) =>
  (o.by ?? client()).resolve(asker(rootFs, o.credentials), machine);

/** Downloads the first layer. */
async function download(by = client()): Promise<{ content: Buffer; bytes: number }> {
  const { layers } = await by.resolve(asker(), machine);
  const path = join(folder, 'layer');
  let bytes = 0;
  const onBytes = (more: number) => {
    bytes += more;
  };
  await by.downloadLayer(layers[0] as never, { ...asker(), path, onBytes });
  return { content: await readFile(path), bytes };
}

describe('an image', () => {
  it('is resolved by tag and by digest', async () => {
    registry.push('app', '1', image);
    const resolved = await resolve();
    expect(resolved.layers.map(({ digest, compression }) => [digest, compression])).toEqual(
      image.layers.map(({ digest }) => [digest, 'gzip']),
    );
    expect(resolved.defaults).toEqual({
      env: { A: '1', B: 'x=y' },
      user: 'vcap',
      dir: '/srv',
      entrypoint: ['/bin/app'],
      cmd: ['serve'],
      ports: [80, 8080, 9090],
    });
    expect(await resolve(`docker://${registry.host}/app@${image.manifest.digest}`)).toEqual(resolved);
  });

  it('of several is the one for this machine', async () => {
    const arm = fakeImage([], { architecture: 'arm64' });
    registry.push('app', 'arm', arm);
    registry.push('app', 'x', image);
    const entries = [
      { image: arm.manifest, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
      { image: arm.manifest, platform: { os: 'unknown', architecture: 'unknown' } },
    ];
    registry.put('app', '1', indexOf([...entries, { image: image.manifest, platform: machine }]));
    expect((await resolve()).layers).toHaveLength(2);
    registry.put('app', '1', indexOf(entries));
    await expect(resolve()).rejects.toMatchObject({
      kind: 'no-platform',
      message: `image ${registry.host}/app:1: there is none for linux/amd64, only for linux/arm64/v8`,
    });
    await expect(resolve(`docker://${registry.host}/app:arm`)).rejects.toMatchObject({
      message: `image ${registry.host}/app:arm: there is none for linux/amd64, only for linux/arm64`,
    });
  });

  it('that is not there is said to be not there', async () => {
    await expect(resolve()).rejects.toMatchObject({
      kind: 'not-found',
      message: `image ${registry.host}/app:1: the registry has no such image`,
    });
  });

  it('is refused when a digest is not what it should be', async () => {
    registry.push('app', '1', image);
    const answer = (path: string, content: string) => (request: IncomingMessage, response: ServerResponse) => {
      if (!request.url?.includes(path)) return false;
      response.writeHead(200, { 'content-type': image.manifest.mediaType }).end(content);
      return true;
    };
    registry.intercept = answer('/manifests/', '{}');
    await expect(resolve(`docker://${registry.host}/app@${image.manifest.digest}`)).rejects.toMatchObject({
      kind: 'digest-mismatch',
      message: expect.stringContaining(`digest of its manifest is ${digestOf(Buffer.from('{}'))}, not sha256:`),
    });
    registry.intercept = answer(image.config.digest, '{}');
    await expect(resolve()).rejects.toMatchObject({ message: expect.stringContaining('digest of its configuration') });
    registry.intercept = answer(image.layers[0]?.digest ?? '', 'x'.repeat(image.layers[0]?.content.length ?? 0));
    await expect(download()).rejects.toMatchObject({
      kind: 'digest-mismatch',
      message: expect.stringMatching(/app:1: layer sha256:.*: the content's digest is sha256:/),
    });
    registry.intercept = answer(image.layers[0]?.digest ?? '', 'x'.repeat(200_000));
    await expect(download()).rejects.toMatchObject({ message: expect.stringContaining('is larger than its') });
  });

  it('is refused when its format is unknown or nonsense', async () => {
    const chart = blob('application/vnd.cncf.helm.config.v1+json', Buffer.from('{}'));
    registry.put('app', '1', manifestOf(chart, []));
    await expect(resolve()).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining(`app:1: media type '${chart.mediaType}' is not supported`),
    });
    registry.put('app', '1', manifestOf(image.config, [{ ...chart, mediaType: 'application/x-squashfs' }]));
    await expect(resolve()).rejects.toThrow("media type 'application/x-squashfs' is not supported");
    for (const text of ['no JSON', '{"mediaType":"application/vnd.oci.image.manifest.v1+json"}']) {
      registry.put('app', '1', blob(image.manifest.mediaType, Buffer.from(text)));
      await expect(resolve()).rejects.toMatchObject({ kind: 'damaged' });
    }
    registry.push('app', '1', { ...image, manifest: manifestOf(image.config, image.layers.slice(1)) });
    await expect(resolve()).rejects.toThrow('1 layers, but its configuration has 2');
  });

  it('is not waited for without end, nor taken at any size', async () => {
    registry.push('app', '1', image);
    await expect(resolve(undefined, { by: client({ maxLayerBytes: 10 }) })).rejects.toMatchObject({
      kind: 'too-large',
    });
    registry.intercept = (_request, response) => {
      response.writeHead(200);
      response.end(Buffer.alloc(5 * 1024 * 1024));
      return true;
    };
    await expect(resolve()).rejects.toThrow('sent more than 4194304 bytes');
    registry.intercept = () => true;
    const impatient = client({ answerTimeoutMs: 30, attempts: 2 });
    await expect(resolve(undefined, { by: impatient })).rejects.toMatchObject({
      kind: 'unreachable',
      message: `image ${registry.host}/app:1: its registry can't be used: ${registry.host} did not answer for 30 ms`,
    });
    const cut = { ...asker(), signal: AbortSignal.timeout(30) };
    await expect(client().resolve(cut, machine)).rejects.toMatchObject({ name: 'TimeoutError' });
  });
});

describe('who asks', () => {
  const basic = `Basic ${Buffer.from('me:secret').toString('base64')}`;
  const ask = (response: ServerResponse, challenge: string): true => {
    response.writeHead(401, { 'www-authenticate': challenge }).end();
    return true;
  };

  it('says it by name and password', async () => {
    registry.push('app', '1', image);
    registry.intercept = ({ headers }, response) => headers.authorization !== basic && ask(response, 'Basic realm="x"');
    await resolve(undefined, { credentials: ME });
    await expect(resolve(undefined, { credentials: { ...ME, password: 'wrong' } })).rejects.toMatchObject({
      kind: 'unauthorised',
      message: `image ${registry.host}/app:1: unauthorised: user 'me' may not pull it, or the password is wrong`,
    });
    await expect(resolve()).rejects.toThrow('no credentials were given');
  });

  it('gets a token, once for all requests', async () => {
    registry.push('app', '1', image);
    const tokens: string[] = [];
    registry.intercept = ({ url = '', headers }, response) => {
      if (url.startsWith('/token')) {
        tokens.push(`${url} ${headers.authorization ?? 'nobody'}`);
        if (headers.authorization !== undefined && headers.authorization !== basic) response.writeHead(401).end();
        else response.end(JSON.stringify({ token: 'T', expires_in: 300 }));
        return true;
      }
      const challenge = `Bearer realm="http://${registry.host}/token",service="reg",scope="repository:app:pull"`;
      return headers.authorization !== 'Bearer T' && ask(response, challenge);
    };
    await resolve();
    expect(tokens).toEqual(['/token?service=reg&scope=repository%3Aapp%3Apull nobody']);
    await resolve(undefined, { credentials: ME });
    expect(tokens[1]).toBe(`/token?service=reg&scope=repository%3Aapp%3Apull&account=me ${basic}`);
    await expect(resolve(undefined, { credentials: { ...ME, password: 'wrong' } })).rejects.toMatchObject({
      kind: 'unauthorised',
    });
  });

  it('does not tell it where a registry redirects to, and is not led away from TLS', async () => {
    registry.push('app', '1', image);
    const other = await FakeRegistry.open();
    other.push('app', '1', image);
    const told: unknown[] = [];
    other.intercept = ({ headers }) => {
      told.push(headers.authorization);
      return false;
    };
    registry.intercept = ({ url = '', headers }, response) => {
      if (headers.authorization !== basic) return ask(response, 'Basic');
      if (!url.includes('/blobs/')) return false;
      response.writeHead(307, { location: `http://${other.host}${url}` }).end();
      return true;
    };
    await resolve(undefined, { credentials: ME });
    expect(told).toEqual([undefined]);
    registry.intercept = (_request, response) => {
      response.writeHead(302, { location: 'http://registry.example/x' }).end();
      return true;
    };
    await expect(resolve()).rejects.toThrow('leads to http://registry.example, which would be asked without TLS');
    registry.intercept = ({ url }, response) => {
      response.writeHead(302, { location: `${url}x` }).end();
      return true;
    };
    await expect(resolve()).rejects.toThrow('redirects more than 5 times');
    await other.close();
  });
});

describe('a layer', () => {
  it('arrives as it is', async () => {
    registry.push('app', '1', image);
    const { content, bytes } = await download();
    expect(content.equals(image.layers[0]?.content as Buffer)).toBe(true);
    expect(bytes).toBe(content.length);
  });

  it('goes on where the connection broke, and begins anew where the server knows no parts', async () => {
    registry.push('app', '1', image);
    const layer = image.layers[0]?.content as Buffer;
    let broken = 0;
    const breaking = (goesOn: boolean) => (request: IncomingMessage, response: ServerResponse) => {
      if (!request.url?.includes(image.layers[0]?.digest ?? '') || ++broken > 2) {
        if (broken > 2 && !goesOn) delete request.headers.range;
        return false;
      }
      if (broken === 2) response.writeHead(503).end();
      else {
        response.writeHead(200, { 'content-length': layer.length });
        response.write(layer.subarray(0, 50), () => setTimeout(() => response.destroy(), 20));
      }
      return true;
    };
    registry.intercept = breaking(true);
    expect((await download()).content.equals(layer)).toBe(true);
    expect(registry.asked.at(-1)).toContain('(bytes=50-)');
    broken = 0;
    registry.intercept = breaking(false);
    const { content, bytes } = await download();
    expect(content.equals(layer)).toBe(true);
    expect(bytes).toBe(layer.length);
  });

  it('that stops coming is given up after some attempts', async () => {
    registry.push('app', '1', image);
    registry.intercept = (request, response) => {
      if (!request.url?.includes(image.layers[0]?.digest ?? '')) return false;
      response.writeHead(200, { 'content-length': 1000 });
      response.write('x');
      return true;
    };
    await expect(download(client({ idleTimeoutMs: 30, attempts: 2 }))).rejects.toMatchObject({
      kind: 'unreachable',
      message: expect.stringContaining('for 30 ms'),
    });
  });

  it('that drips is given up as well: others wait for its end', async () => {
    registry.push('app', '1', image);
    registry.intercept = ({ url = '' }, response) => {
      if (!url.endsWith(image.layers[0]?.digest ?? '')) return false;
      const dripping = setInterval(() => response.write('.'), 5);
      response.on('close', () => clearInterval(dripping));
      return true;
    };
    await expect(download(client({ idleTimeoutMs: 200, attempts: 1 }))).rejects.toMatchObject({
      kind: 'unreachable',
      message: expect.stringMatching(/: no more than \d+ bytes came from 127\.0\.0\.1:\d+ for 200 ms$/),
    });
  });

  it('ends when it is cut, even if all of it has come', async () => {
    const content = 'x'.repeat(1_000_000);
    image = fakeImage([await layerTar([{ name: 'a', content }])], { packed: (tar) => tar });
    registry.push('app', '1', image);
    const by = client();
    const [layer] = (await by.resolve(asker(), machine)).layers;
    if (!layer) throw new Error('no layer');
    for (let time = 0; time < 20; time++) {
      const cut = new AbortController();
      let bytes = 0;
      const onBytes = (more: number) => {
        bytes += more;
        if (bytes === layer.size) cut.abort(new Error('cut'));
      };
      const about = { ...asker(), signal: cut.signal, path: join(folder, 'layer'), onBytes };
      await expect(by.downloadLayer(layer, about)).rejects.toThrow('cut');
    }
  });
});
