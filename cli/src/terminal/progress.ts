import type { Output } from './output.js';
import { cut } from './text.js';

/**
 * One line that says how far something is. On a terminal it is rewritten in place; elsewhere each change is a line of its own,
 * and nothing at all for programs.
 */
export class Progress {
  #last = '';

  constructor(private readonly out: Output) {}

  show(text: string): void {
    if (this.out.json || text === this.#last) return;
    this.#last = text;
    // Progress may be dropped when the reader is slow: what follows says more.
    const { watched, noteColours, noteWidth } = this.out;
    void this.out.note(watched ? `\r\u001b[K${noteColours.dim(cut(text, noteWidth - 1))}` : `${text}\n`);
  }

  /** Takes the line away again. */
  done(): void {
    if (this.#last !== '' && this.out.watched && !this.out.json) void this.out.note('\r\u001b[K');
    this.#last = '';
  }
}
