import type { Output } from '../terminal/output.js';
import { formatTook } from '../terminal/time.js';

/** Tells what `rivera up` does: each step with the time it took, on stderr for people, as JSON lines on stdout for programs. */
export class Steps {
  constructor(
    private readonly out: Output,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Runs one step. What it returns with `detail` is told beside its name. */
  async run<T>(name: string, step: () => Promise<T>, detail: (result: T) => string = () => ''): Promise<T> {
    const started = this.now();
    const live = this.out.watched && !this.out.json;
    if (live) await this.out.note(`  ${this.out.noteColours.dim('…')} ${name}`);
    try {
      const result = await step();
      await this.#tell(name, { ok: true, tookMs: this.now() - started, detail: detail(result) }, live);
      return result;
    } catch (error) {
      await this.#tell(name, { ok: false, tookMs: this.now() - started, detail: '' }, live);
      throw error;
    }
  }

  /** Starts something now whose step comes later: waiting for it is the step. A failure is kept until then. */
  prepare<T>(work: () => Promise<T>): () => Promise<T> {
    const result = work();
    result.catch(() => undefined);
    return () => result;
  }

  /** Something that happened meanwhile. */
  async tell(name: string, text: string): Promise<void> {
    if (this.out.json) await this.out.line({ event: 'note', about: name, text });
    else
      await this.out.note(
        `${this.out.watched ? '\r\u001b[K' : ''}  ${this.out.noteColours.yellow('!')} ${name}: ${text}\n`,
      );
  }

  async #tell(
    name: string,
    { ok, tookMs, detail }: { ok: boolean; tookMs: number; detail: string },
    live: boolean,
  ): Promise<void> {
    if (this.out.json) return this.out.line({ event: 'step', name, ok, ms: Math.round(tookMs), detail });
    const { green, red, dim } = this.out.noteColours;
    const mark = ok ? green('✓') : red('✗');
    const line = `  ${mark} ${name.padEnd(26)} ${formatTook(tookMs).padStart(8)}   ${dim(detail)}`.trimEnd();
    return this.out.note(`${live ? '\r\u001b[K' : ''}${line}\n`);
  }
}
