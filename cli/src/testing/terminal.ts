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
  /** Told of each piece of output as it comes. */
  onOutput?: (text: string) => void;
}

/** Runs a command line in this process, with streams that remember. */
export async function runHere(args: readonly string[], outside: Outside = {}): Promise<Said> {
  const stdout = new Remembering(outside.onOutput);
  const stderr = new Remembering(outside.onOutput);
  const io: Io = {
    stdin: outside.stdin ?? Readable.from([]),
    stdout,
    stderr,
    env: outside.env ?? {},
    cwd: outside.cwd ?? '/nonexistent',
    home: '/nonexistent',
    now: () => outside.now ?? Date.now(),
    interrupts: outside.interrupts ?? new Interrupts(),
  };
  const exitCode = await run(args, io);
  return { exitCode, stdout: stdout.text, stderr: stderr.text };
}

class Remembering extends Writable {
  readonly #chunks: Buffer[] = [];

  constructor(private readonly onOutput: ((text: string) => void) | undefined) {
    super();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.#chunks.push(chunk);
    this.onOutput?.(this.text);
    done();
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}
