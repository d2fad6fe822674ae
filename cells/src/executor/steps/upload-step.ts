import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { UploadAction } from '@rivera/gen/rivera/recipe/v1/action';
import { byteSize } from '../downloads/byte-size.js';
import { redactUrls } from '../downloads/redact.js';
import { UploadError } from '../downloads/upload-file.js';
import { firstFile } from '../first-file.js';
import { once } from './once.js';
import { CANCELLED, failed, type Step, type StepContext, type StepResult, type StepRun } from './step.js';

/** A stage of an upload that failed. */
class StageError extends Error {}

/** Sends one file of the container away. Ready at once. */
export class UploadStep implements Step {
  constructor(
    private readonly id: string,
    private readonly action: UploadAction,
    private readonly logSource: string,
    private readonly context: StepContext,
  ) {}

  run({ signal, ready }: StepRun): Promise<StepResult> {
    ready();
    return once(this.id, this.context, () => this.#upload(signal));
  }

  async #upload(signal: AbortSignal): Promise<StepResult> {
    if (signal.aborted) return CANCELLED;
    const { artifact, to } = this.action;
    const { log, uploader } = this.context;
    const sink = log.sink(this.action.logSource || this.logSource);
    if (!URL.canParse(to)) {
      sink.line('stderr', 'Failed to parse URL');
      return failed('Failed to parse URL');
    }
    if (artifact !== '') sink.line('stdout', `Uploading ${artifact}...`);
    try {
      const bytes = await uploader.upload(to, signal, (path, cut) => this.#copyOut(path, cut));
      if (artifact !== '') sink.line('stdout', `Uploaded ${artifact} (${byteSize(bytes)})`);
      return undefined;
    } catch (error) {
      if (signal.aborted) return CANCELLED;
      if (error instanceof StageError) return failed(`${error.message}${artifact === '' ? '' : ` for ${artifact}`}`);
      if (error instanceof UploadError) sink.line('stderr', 'Failed to upload payload');
      return failed(redactUrls(error instanceof Error ? error.message : String(error)));
    }
  }

  async #copyOut(path: string, signal: AbortSignal): Promise<void> {
    const { container } = this.context;
    const tar = await stage(
      'Failed to establish stream from container',
      container.streamOut(this.action.from, this.action.user),
    );
    try {
      const file = await stage('Failed to find first item in tar stream', firstFile(tar));
      if (!file) throw new StageError('Failed to find first item in tar stream');
      const copy = pipeline(file.content, createWriteStream(path, { flags: 'wx', mode: 0o600 }), { signal });
      await stage('Failed to copy stream contents into temp file', copy);
    } finally {
      tar.destroy();
    }
  }
}

async function stage<T>(failure: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new StageError(failure, { cause: error });
  }
}
