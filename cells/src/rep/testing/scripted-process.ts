import { PassThrough } from 'node:stream';
import type { ExecSpec, InteractiveProcess } from '../../garden/garden.js';

/** A process for a person whose side the test plays. */
export class ScriptedProcess implements InteractiveProcess {
  readonly stdin = new PassThrough({ highWaterMark: 1024 });
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();
  readonly sizes: string[] = [];
  readonly signals: string[] = [];
  killed = false;
  readonly #exit: Promise<{ code: number; signal?: NodeJS.Signals }>;
  #resolve: (exit: { code: number; signal?: NodeJS.Signals }) => void = () => {};

  constructor(readonly spec: ExecSpec) {
    this.#exit = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  resize(columns: number, rows: number): void {
    this.sizes.push(`${columns}x${rows}`);
  }

  signal(signal: NodeJS.Signals): void {
    this.signals.push(signal);
  }

  wait(): Promise<{ code: number; signal?: NodeJS.Signals }> {
    return this.#exit;
  }

  kill(): void {
    this.killed = true;
    this.exit(137, 'SIGKILL');
  }

  /** Ends it; `background` leaves the outputs open, as a child that goes on would. */
  exit(code: number, signal?: NodeJS.Signals, options: { background?: boolean } = {}): void {
    if (!options.background) {
      this.stdout.end();
      this.stderr.end();
    }
    this.#resolve(signal ? { code, signal } : { code });
  }
}
