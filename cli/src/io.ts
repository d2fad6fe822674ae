import type { Readable } from 'node:stream';
import type { Interrupts } from './interrupts.js';
import type { TerminalStream } from './terminal/output.js';

/** Standard input, which may be a terminal. */
export type InputStream = Readable & { isTTY?: boolean; setRawMode?(on: boolean): unknown };

/** The outside of a command, as an argument, so that tests can be the outside. */
export interface Io {
  readonly stdin: InputStream;
  readonly stdout: TerminalStream;
  readonly stderr: TerminalStream;
  readonly env: NodeJS.ProcessEnv;
  /** Working directory. */
  readonly cwd: string;
  /** The user's home directory. */
  readonly home: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly interrupts: Interrupts;
}
