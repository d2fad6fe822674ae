import type { DownloadAction } from '@rivera/gen/rivera/recipe/v1/action';
import { byteSize } from '../downloads/byte-size.js';
import { redactUrls } from '../downloads/redact.js';
import { once } from './once.js';
import { CANCELLED, failed, type Step, type StepContext, type StepResult, type StepRun } from './step.js';

const MAX_ERROR_BYTES = 1024;
const TRUNCATED = ' (error truncated)';

/** Fetches an archive and unpacks it in the container. Ready at once. */
export class DownloadStep implements Step {
  constructor(
    private readonly id: string,
    private readonly action: DownloadAction,
    private readonly logSource: string,
    private readonly context: StepContext,
  ) {}

  run({ signal, ready }: StepRun): Promise<StepResult> {
    ready();
    return once(this.id, this.context, () => this.#download(signal));
  }

  async #download(signal: AbortSignal): Promise<StepResult> {
    if (signal.aborted) return CANCELLED;
    const { artifact, from, to, user, cacheKey, checksumAlgorithm, checksumValue } = this.action;
    const { log, downloader, container } = this.context;
    const sink = log.sink(this.action.logSource || this.logSource);
    if (artifact !== '') sink.line('stdout', `Downloading ${artifact}...`);
    const request = { url: from, cacheKey, checksumAlgorithm, checksumValue };
    let copying = false;
    try {
      const bytes = await downloader.withArchive(request, signal, async (tar) => {
        copying = true;
        await container.streamIn(to, user, tar);
      });
      if (artifact !== '') sink.line('stdout', `Downloaded ${artifact}${bytes > 0 ? ` (${byteSize(bytes)})` : ''}`);
      return undefined;
    } catch (error) {
      if (signal.aborted) return CANCELLED;
      const text = redactUrls(error instanceof Error ? error.message : String(error));
      const what = artifact === '' ? '' : ` ${artifact}`;
      sink.line('stderr', shortened(text));
      return failed(
        copying ? `Copying${what} into the container failed: ${shortened(text)}` : `Downloading${what} failed`,
      );
    }
  }
}

function shortened(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_ERROR_BYTES) return text;
  return `${bytes.subarray(0, MAX_ERROR_BYTES - TRUNCATED.length).toString('utf8')}${TRUNCATED}`;
}
