import { type ChildProcess, spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { ImageError } from '../image-error.js';
import { DigestCheck } from '../registry/digest.js';
import type { Compression } from '../registry/manifest.js';
import { type LayerFacts, overlayTar } from './overlay-tar.js';

const MESSAGE_LIMIT = 1000;
const UNPACK = 'umask 022; exec tar "$@"';
const UNPACK_OPTIONS = [
  '--extract',
  '--file=-',
  '--preserve-permissions',
  '--same-owner',
  '--numeric-owner',
  '--xattrs',
  '--xattrs-include=*',
  '--delay-directory-restore',
  '--warning=no-timestamp',
];

/**
 * Unpacks a layer into an empty directory, as a lower directory of an overlay. It is good for nothing when this throws.
 * @throws ImageError; the signal's reason when it was aborted
 */
export async function unpackLayer(
  layer: { path: string; compression: Compression; diffId: string; digest: string },
  o: {
    into: string;
    /** The image's, for messages. */
    name: string;
    maxBytes: number;
    signal: AbortSignal;
    /** Of the programs that do it. */
    env: NodeJS.ProcessEnv;
  },
): Promise<LayerFacts> {
  const { signal } = o;
  const what = `image ${o.name}: layer ${layer.digest}`;
  const check = new DigestCheck(layer.diffId);
  const facts: LayerFacts = { bytes: 0, opaqueRoot: false };
  async function* sanitized(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    async function* checked(): AsyncGenerator<Buffer> {
      for await (const chunk of source) {
        check.update(chunk);
        yield chunk;
      }
    }
    yield* overlayTar(checked(), { maxBytes: o.maxBytes, facts });
  }
  const programs: Program[] = [];
  const start = (command: string, args: string[]): Program => {
    const program = new Program(command, args, o.env);
    programs.push(program);
    return program;
  };
  let zstd: Program | undefined;
  try {
    const tar = start('sh', ['-c', UNPACK, 'tar', ...UNPACK_OPTIONS, `--directory=${o.into}`]);
    const packed = createReadStream(layer.path);
    const feeding = [];
    let source: Readable;
    if (layer.compression === 'none') source = packed;
    else if (layer.compression === 'gzip') {
      source = createGunzip();
      feeding.push(pipeline(packed, source as never, { signal }));
    } else {
      // Node learns this format later than the machines that this runs on.
      zstd = start('zstd', ['--decompress', '--stdout', '--quiet']);
      feeding.push(pipeline(packed, zstd.input, { signal }), zstd.ended);
      source = zstd.output;
    }
    tar.output.resume();
    const unpacking = pipeline(source, sanitized, tar.input, { signal });
    // The end of each leads to the end of the others, and only then it is known who was the first to fail.
    const ends = await Promise.allSettled([unpacking, ...feeding, tar.ended]);
    signal.throwIfAborted();
    const [cause] = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as NodeJS.ErrnoException] : []));
    if (cause !== undefined) {
      const tarIsGone = cause.code === 'EPIPE' || cause.code === 'ERR_STREAM_PREMATURE_CLOSE';
      const text = zstd?.failure ?? (tarIsGone ? tar.failure : undefined) ?? cause.message;
      throw new ImageError('damaged', `${what} can't be unpacked: ${text}`, { cause });
    }
  } finally {
    await Promise.all(programs.map((program) => program.end()));
  }
  const found = check.mismatch();
  if (found !== undefined)
    throw new ImageError('digest-mismatch', `${what} unpacks to ${found}, not to ${layer.diffId} as its image says`);
  return facts;
}

/** A program that takes part in unpacking. */
class Program {
  /** Rejects unless it ends well. */
  readonly ended: Promise<void>;
  /** What it complained of. */
  failure: string | undefined;
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;

  constructor(command: string, args: string[], env: NodeJS.ProcessEnv) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...env, LC_ALL: 'C' } });
    let complaint = '';
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      if (complaint.length < MESSAGE_LIMIT) complaint += chunk.toString('latin1');
    });
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', (error) => {
        this.failure = `${command} can't be started: ${error.message}`;
        reject(new Error(this.failure));
      });
      this.#child.once('close', (code, signal) => {
        if (code === 0) return resolve();
        // Ended from outside is no complaint of its own.
        if (code !== null) this.failure ??= `${command}: ${complaint.trim().slice(0, MESSAGE_LIMIT)}`;
        reject(new Error(this.failure ?? `${command} was ended by ${signal}`));
      });
    });
    this.#closed = this.ended.catch(() => {});
  }

  get input(): Writable {
    return this.#child.stdin as Writable;
  }

  get output(): Readable {
    return this.#child.stdout as Readable;
  }

  /** Kills it, unless it has ended. */
  async end(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#closed;
  }
}
