import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lifetime } from '../lifetime.js';
import { Slots } from '../slots.js';
import { type UploadSettings, uploadFile } from './upload-file.js';

export interface UploaderSettings extends UploadSettings {
  /** For files on their way. */
  directory: string;
  maxConcurrent: number;
}

/** Sends files away, a bounded number at once. */
export class Uploader {
  readonly #slots: Slots;

  constructor(
    private readonly settings: UploaderSettings,
    private readonly lifetime: Lifetime,
  ) {
    this.#slots = new Slots(settings.maxConcurrent);
  }

  /** Removes what an earlier life left. */
  async start(): Promise<void> {
    await mkdir(this.settings.directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.settings.directory))
      await rm(join(this.settings.directory, name), { force: true });
  }

  /** In one of the slots for uploads: `fill` writes the file, which is then sent. Returns its size. @throws UploadError, and what `fill` throws */
  async upload(
    url: string,
    signal: AbortSignal,
    fill: (path: string, signal: AbortSignal) => Promise<void>,
  ): Promise<number> {
    const cut = AbortSignal.any([signal, this.lifetime.signal]);
    const work = this.#slots.run(cut, async () => {
      const path = join(this.settings.directory, `${randomBytes(8).toString('hex')}.tmp`);
      try {
        await fill(path, cut);
        return await uploadFile({ path, url, signal: cut }, this.settings);
      } finally {
        await rm(path, { force: true });
      }
    });
    return this.lifetime.track(work);
  }
}
