import type { BigIntStats } from 'node:fs';
import { mkdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../../kernel/command.js';
import { isMissing } from '../../../kernel/durable.js';

/** How an image is cut. */
export interface ImageGeometry {
  imageBytes: number;
  inodes: number;
}

/** Templates that are kept; of each there are a few hundred kilobytes at most. */
const MOST_TEMPLATES = 32;
/** Somebody else changes files faster than they can be used. */
const MOST_TRIES = 3;

export const INODE_BYTES = 256;

/**
 * Formatted images to copy from, one for each geometry: a copy of the few pages that formatting writes takes a tenth of formatting.
 * They are of one agent's life alone; none is used that isn't exactly as it was made. All copies have one UUID, which nobody looks for.
 */
export class DiskTemplates {
  private readonly kept = new Map<string, Template>();
  private made = 0;

  constructor(
    private readonly directory: string,
    private readonly most = MOST_TEMPLATES,
  ) {}

  /** Makes room, and takes away what an earlier agent left, as nobody knows whether it was finished. */
  async prepare(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
  }

  /** Has `work` copy the template of a geometry, which stays as it is meanwhile. @throws Error when it can't be made */
  async use<T>(geometry: ImageGeometry, work: (path: string) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      const template = this.template(geometry);
      template.users++;
      try {
        await template.ready;
        if (await template.isAsMade()) return await work(template.path);
        if (tries === MOST_TRIES) throw new Error(`somebody keeps changing ${template.path}`);
        await this.forget(template);
      } catch (error) {
        if (!template.finished) await this.forget(template);
        throw error;
      } finally {
        template.users--;
        await this.shrink();
      }
    }
  }

  private template(geometry: ImageGeometry): Template {
    const key = `${geometry.imageBytes}-${geometry.inodes}`;
    const template = this.kept.get(key) ?? new Template(join(this.directory, `${key}.${++this.made}`), key, geometry);
    // The last of the map is the one that was used last.
    this.kept.delete(key);
    this.kept.set(key, template);
    return template;
  }

  private async shrink(): Promise<void> {
    const idle = [...this.kept.values()].filter(({ users }) => users === 0);
    for (const template of idle.slice(0, Math.max(0, this.kept.size - this.most))) await this.forget(template);
  }

  private async forget(template: Template): Promise<void> {
    if (this.kept.get(template.key) === template) this.kept.delete(template.key);
    await rm(template.path, { force: true });
  }
}

class Template {
  users = 0;
  finished = false;
  readonly ready: Promise<void>;
  private asMade: BigIntStats | undefined;

  constructor(
    readonly path: string,
    readonly key: string,
    geometry: ImageGeometry,
  ) {
    this.ready = this.make(geometry);
  }

  /** Nothing can be written to a file, nor its times be set, without the time of its change being another. */
  async isAsMade(): Promise<boolean> {
    const now = await this.look().catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    const fields = ['ino', 'size', 'mtimeNs', 'ctimeNs'] as const;
    return now !== undefined && fields.every((field) => now[field] === this.asMade?.[field]);
  }

  private async make({ imageBytes, inodes }: ImageGeometry): Promise<void> {
    await writeFile(this.path, '', { mode: 0o600 });
    await truncate(this.path, imageBytes);
    // No journal: after a crash of the host the container is gone anyway. No reserved blocks: they would be root's alone. Inode tables
    // count as written, for a sparse file's are, and else the kernel would fill those of every container with zeros.
    const format = ['-q', '-F', '-m', '0', '-b', '4096', '-I', String(INODE_BYTES), '-N', String(inodes)];
    const features = ['-O', '^has_journal,^resize_inode', '-E', 'lazy_itable_init=0,nodiscard'];
    await run('mkfs.ext4', [...format, ...features, this.path]);
    this.asMade = await this.look();
    this.finished = true;
  }

  private look(): Promise<BigIntStats> {
    return stat(this.path, { bigint: true });
  }
}
