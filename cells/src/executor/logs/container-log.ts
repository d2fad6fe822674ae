import { LogStream } from '@rivera/gen/rivera/rep/v1/container';
import type { Clock } from '@rivera/kit/clock';
import type { LogIdentity } from '../executor.js';
import { LineSplitter } from './line-splitter.js';
import { LogLimiter, type LogLimits } from './log-limiter.js';
import type { LogStore } from './log-store.js';

/** Source of what the cell itself says about a container. */
export const CELL_SOURCE = 'CELL';
/** Source of lines for which nobody named one. */
export const DEFAULT_SOURCE = 'LOG';

export type OutputStream = 'stdout' | 'stderr';

/** Where a step's lines go. */
export interface LogSink {
  readonly source: string;
  /** A line of the step itself. */
  line(stream: OutputStream, text: string): void;
  /** Takes the bytes of one stream of one process. */
  splitter(stream: OutputStream): LineSplitter;
}

/** The log of one container: who its lines belong to, and which of them pass. */
export class ContainerLog {
  readonly #limiter: LogLimiter;
  #tags: Record<string, string>;
  #bytes = 0;

  constructor(
    private readonly options: {
      containerGuid: string;
      identity: LogIdentity;
      /** Source of lines for which nobody named one; empty: `LOG`. */
      defaultSource: string;
      limits: LogLimits;
      tags: Readonly<Record<string, string>>;
      store: LogStore;
      clock: Clock;
    },
  ) {
    this.#limiter = new LogLimiter(options.limits);
    this.#tags = withIdentity(options.tags, options.identity);
  }

  /** That were to be logged, whether or not they passed. */
  get bytes(): number {
    return this.#bytes;
  }

  get defaultSource(): string {
    return this.options.defaultSource === '' ? DEFAULT_SOURCE : this.options.defaultSource;
  }

  setTags(tags: Readonly<Record<string, string>>): void {
    this.#tags = withIdentity(tags, this.options.identity);
  }

  /** For the lines of a source; they are limited. Empty: the container's default source. */
  sink(source: string): LogSink {
    const name = source === '' ? this.defaultSource : source;
    return {
      source: name,
      line: (stream, text) => {
        const splitter = this.#splitter(name, stream);
        splitter.push(Buffer.from(text), this.options.clock.now());
        splitter.end();
      },
      splitter: (stream) => this.#splitter(name, stream),
    };
  }

  /** A line of the cell or of a health check. It passes whatever the limit is: the platform has to be heard. */
  platform(text: string, options: { source?: string; stream?: OutputStream } = {}): void {
    const splitter = new LineSplitter((message, timeMs) =>
      this.#append(options.source || CELL_SOURCE, options.stream ?? 'stdout', message, timeMs),
    );
    splitter.push(Buffer.from(text), this.options.clock.now());
    splitter.end();
  }

  #splitter(source: string, stream: OutputStream): LineSplitter {
    return new LineSplitter((message, timeMs) => {
      this.#bytes += message.length;
      const { pass, notice } = this.#limiter.admit(message.length, timeMs);
      if (pass) return this.#append(source, stream, message, timeMs);
      this.options.store.refused?.(notice !== undefined);
      if (notice !== undefined) this.#append(CELL_SOURCE, 'stderr', Buffer.from(notice), timeMs);
    });
  }

  #append(source: string, stream: OutputStream, payload: Buffer, timeMs: number): void {
    const { identity, containerGuid, store } = this.options;
    if (identity.logGuid === '') return;
    store.append({
      time: new Date(timeMs),
      logGuid: identity.logGuid,
      processGuid: identity.processGuid,
      taskGuid: identity.taskGuid,
      index: identity.index,
      containerGuid,
      source,
      stream: stream === 'stdout' ? LogStream.STDOUT : LogStream.STDERR,
      payload,
      tags: this.#tags,
    });
  }
}

/** Tags of the definition over those that every line has. */
function withIdentity(tags: Readonly<Record<string, string>>, identity: LogIdentity): Record<string, string> {
  return { source_id: identity.logGuid, instance_id: String(identity.index), ...tags };
}
