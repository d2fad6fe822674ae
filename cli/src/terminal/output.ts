import { once } from 'node:events';
import type { Writable } from 'node:stream';
import pc from 'picocolors';
import { cut } from './text.js';

export type Colours = ReturnType<typeof pc.createColors>;

/** Colours, or functions that change nothing. */
export function coloursFor(enabled: boolean): Colours {
  return pc.createColors(enabled);
}

/** A stream that may be a terminal. */
export type TerminalStream = Writable & { isTTY?: boolean; columns?: number; rows?: number };

/** Colours are for terminals alone, and not when the user said no (https://no-color.org). */
export function wantsColour(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv, noColorFlag: boolean): boolean {
  return stream.isTTY === true && !noColorFlag && !env.NO_COLOR && env.TERM !== 'dumb';
}

/** Where a command writes: data on stdout, everything else on stderr. */
export class Output {
  /** For what goes to stdout. */
  readonly colours: Colours;
  /** For what goes to stderr. */
  readonly noteColours: Colours;
  readonly #stdout: TerminalStream;
  readonly #stderr: TerminalStream;

  constructor(
    streams: { stdout: TerminalStream; stderr: TerminalStream },
    readonly options: { json: boolean; colour: boolean; noteColour: boolean },
  ) {
    this.#stdout = streams.stdout;
    this.#stderr = streams.stderr;
    this.colours = coloursFor(options.colour);
    this.noteColours = coloursFor(options.noteColour);
  }

  /** Whether lines for programs are wanted. */
  get json(): boolean {
    return this.options.json;
  }

  /** Whether a person watches what goes to stderr. */
  get watched(): boolean {
    return this.#stderr.isTTY === true;
  }

  /** Columns of the terminal that stderr goes to; some do not know theirs. */
  get noteWidth(): number {
    return this.#stderr.columns || 120;
  }

  /** A text for a cell of a table: on a terminal as long as `width`, for whom else reads it whole. */
  fit(text: string, width: number): string {
    return this.#stdout.isTTY === true ? cut(text, width) : text;
  }

  /** Data. Resolves when there is room for more. */
  async data(text: string | Uint8Array): Promise<void> {
    await write(this.#stdout, text);
  }

  /** One object as one line. */
  async line(object: unknown): Promise<void> {
    await this.data(`${JSON.stringify(object)}\n`);
  }

  /** Anything that is not data: progress, hints, errors. */
  async note(text: string | Uint8Array): Promise<void> {
    await write(this.#stderr, text);
  }
}

async function write(stream: Writable, text: string | Uint8Array): Promise<void> {
  if (text.length === 0 || stream.destroyed) return;
  if (!stream.write(text)) await once(stream, 'drain');
}
