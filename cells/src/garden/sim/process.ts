import { type ExitStatus, GardenError, type GardenProcess, type ProcessOutput } from '../garden.js';
import { Gate } from '../gate.js';
import type { SimProcessState } from './machine.js';

/** One garden's view of a simulated process. */
export class SimProcess implements GardenProcess {
  private closed = false;
  private readonly changed = new Gate();
  private readonly stopListening: () => void;

  constructor(private readonly state: SimProcessState) {
    this.stopListening = state.onChange(() => this.changed.open());
  }

  get id(): string {
    return this.state.id;
  }

  async *output(signal?: AbortSignal): AsyncGenerator<ProcessOutput> {
    for (let index = 0; !signal?.aborted; ) {
      const entry = this.state.output[index];
      if (entry) {
        index++;
        yield entry;
      } else if (this.state.status) return;
      else if (this.closed) throw closedError();
      else await this.changed.next(signal);
    }
  }

  async wait(): Promise<ExitStatus> {
    while (!this.state.status) {
      if (this.closed) throw closedError();
      await this.changed.next();
    }
    return this.state.status;
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    this.state.signal(signal);
  }

  close(): void {
    this.closed = true;
    this.stopListening();
    this.changed.open();
  }
}

function closedError(): GardenError {
  return new GardenError('closed', 'the garden was closed');
}
