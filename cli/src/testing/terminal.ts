import { Readable, Writable } from 'node:stream';
import { Interrupts } from '../interrupts.js';
import type { Io } from '../io.js';
import { run } from '../run.js';

/** What a command has said. */
export interface Said {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** What the outside of a command is in a test; everything has a default. */
export interface Outside {
  env?: NodeJS.ProcessEnv;
  stdin?: Readable;
  cwd?: string;
  now?: number;
  interrupts?: Interrupts;
  /** Whether what is said goes to a terminal; default no. */
  terminal?: boolean;
  home?: string;
  /** Told of each piece of output as it comes. */
  onOutput?: (text: string) => void;
}

/** The outside of a command whose streams remember. */
export function ioOf(outside: Outside = {}): Io & { stdout: Remembering; stderr: Remembering } {
  return {
    stdin: outside.stdin ?? Readable.from([]),
    stdout: new Remembering(outside),
    stderr: new Remembering(outside),
    env: outside.env ?? {},
    cwd: outside.cwd ?? '/nonexistent',
    home: outside.home ?? '/nonexistent',
    now: () => outside.now ?? Date.now(),
    interrupts: outside.interrupts ?? new Interrupts(),
  };
}

/** Runs a command line in this process, with streams that remember. */
export async function runHere(args: readonly string[], outside: Outside = {}): Promise<Said> {
  const io = ioOf(outside);
  const exitCode = await run(args, io);
  return { exitCode, stdout: io.stdout.text, stderr: io.stderr.text };
}

class Remembering extends Writable {
  readonly #chunks: Buffer[] = [];
  readonly isTTY: boolean;

  constructor(private readonly outside: Outside) {
    super();
    this.isTTY = outside.terminal ?? false;
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.#chunks.push(chunk);
    this.outside.onOutput?.(this.text);
    done();
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}
