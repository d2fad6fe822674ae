import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const READY_TIMEOUT_MS = 30_000;

/** Debian's docker-registry on a free port of this machine, with a folder of its own, for tests. */
export class DockerRegistry {
  private constructor(
    private readonly folder: string,
    private readonly registry: ChildProcess,
    /** `HOST:PORT`. */
    readonly host: string,
    private readonly credentials: string | undefined,
  ) {}

  /** @param user `NAME:PASSWORD` that everybody has to know; default: nobody is asked */
  static async start(user?: string): Promise<DockerRegistry> {
    const folder = await mkdtemp(join(tmpdir(), 'rivera-registry-'));
    const host = `127.0.0.1:${await freePort()}`;
    const htpasswd = join(folder, 'htpasswd');
    if (user !== undefined) await writeFile(htpasswd, await hashed(user));
    const config = {
      version: 0.1,
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(folder, 'storage') } },
      http: { addr: host },
      ...(user !== undefined && { auth: { htpasswd: { realm: 'test', path: htpasswd } } }),
    };
    const file = join(folder, 'config.yml');
    // YAML that is JSON.
    await writeFile(file, JSON.stringify(config));
    // Its end follows that of the test also when this one is killed: the keeper's input ends then.
    const keeper = 'docker-registry serve "$1" & trap "" TERM; cat > /dev/null; kill $!; wait';
    const registry = spawn('sh', ['-c', keeper, 'registry', file], { stdio: ['pipe', 'ignore', 'ignore'] });
    const made = new DockerRegistry(folder, registry, host, user);
    await made.#untilReady();
    return made;
  }

  /** Makes an image of a folder, with what `umoci config` is told, and pushes it; resolves with its `docker://…`. */
  async push(
    name: string,
    o: { rootFs: string; config?: string[]; changes?: (rootFs: string) => Promise<void> },
  ): Promise<string> {
    const work = await mkdtemp(join(this.folder, 'image-'));
    const layout = join(work, 'oci');
    const bundle = join(work, 'bundle');
    await run('umoci', ['init', '--layout', layout]);
    await run('umoci', ['new', '--image', `${layout}:made`]);
    await run('umoci', ['unpack', '--image', `${layout}:made`, bundle]);
    await cp(o.rootFs, join(bundle, 'rootfs'), { recursive: true, verbatimSymlinks: true });
    await run('umoci', ['repack', '--image', `${layout}:made`, bundle]);
    if (o.changes) {
      await rm(bundle, { recursive: true });
      await run('umoci', ['unpack', '--image', `${layout}:made`, bundle]);
      await o.changes(join(bundle, 'rootfs'));
      await run('umoci', ['repack', '--image', `${layout}:made`, bundle]);
    }
    if (o.config) await run('umoci', ['config', '--image', `${layout}:made`, ...o.config]);
    const credentials = this.credentials === undefined ? [] : [`--dest-creds=${this.credentials}`];
    const target = `docker://${this.host}/${name}`;
    // The usual place of its policy is not there on every machine.
    const policy = join(this.folder, 'policy.json');
    await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }));
    await run('skopeo', [
      '--policy',
      policy,
      'copy',
      `oci:${layout}:made`,
      target,
      '--dest-tls-verify=false',
      ...credentials,
    ]);
    await rm(work, { recursive: true });
    return target;
  }

  /** Where it keeps a blob. */
  blobFile(digest: string): string {
    const [algorithm = '', hex = ''] = digest.split(':');
    return join(this.folder, 'storage/docker/registry/v2/blobs', algorithm, hex.slice(0, 2), hex, 'data');
  }

  async close(): Promise<void> {
    const ended = once(this.registry, 'exit');
    this.registry.stdin?.end();
    if (this.registry.exitCode === null) await ended;
    await rm(this.folder, { recursive: true, force: true });
  }

  async #untilReady(): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    for (;;) {
      const answer = await fetch(`http://${this.host}/v2/`).catch(() => undefined);
      await answer?.body?.cancel();
      if (answer) return;
      if (Date.now() > deadline || this.registry.exitCode !== null) throw new Error('docker-registry does not answer');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** An htpasswd line; the registry takes bcrypt alone, which openssl doesn't have. */
async function hashed(user: string): Promise<string> {
  const [name = '', password = ''] = user.split(':');
  const { stdout } = await run('htpasswd', ['-nbB', name, password]);
  return stdout;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
