import { type ExitStatus, GardenError, type GardenProcess, type ProcessOutput, type WindowSize } from '../garden.js';
import { Gate } from '../gate.js';
import { unlessAborted } from '../unless-aborted.js';
import type { SimProcessState } from './machine.js';

/** One garden's view of a simulated process. */
export class SimProcess implements GardenProcess {
  private closed = false;
  private readonly changed = new Gate();
  private readonly stopListening: () => void;

  constructor(
    private readonly state: SimProcessState,
    private readonly use: () => () => void = () => () => undefined,
  ) {
    this.stopListening = state.onChange(() => this.changed.open());
  }

  get id(): string {
    return this.state.id;
  }

  async *output(signal?: AbortSignal): AsyncGenerator<ProcessOutput> {
    const release = this.use();
    try {
      for (let index = 0; !signal?.aborted; ) {
        const entry = this.state.output[index];
        if (entry) {
          index++;
          yield entry;
        } else if (this.state.status) return;
        else if (this.closed) throw closedError();
        else await this.changed.next(signal);
      }
    } finally {
      release();
    }
  }

  wait(signal?: AbortSignal): Promise<ExitStatus> {
    const release = this.use();
    return unlessAborted(this.end(), signal).finally(release);
  }

  async write(data: Buffer): Promise<void> {
    this.assertInput();
    this.state.write(data);
  }

  async closeStdin(): Promise<void> {
    this.assertInput();
    this.state.closeInput();
  }

  async resize({ columns, rows }: WindowSize): Promise<void> {
    if (this.state.window) this.state.window = { columns, rows };
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    this.state.signal(signal);
  }

  close(): void {
    this.closed = true;
    this.stopListening();
    this.changed.open();
  }

  private async end(): Promise<ExitStatus> {
    while (!this.state.status) {
      if (this.closed) throw closedError();
      await this.changed.next();
    }
    return this.state.status;
  }

  private assertInput(): void {
    const { stdin, terminal } = this.state.spec;
    if (!stdin && !terminal) throw new GardenError('no-stdin', 'the process was run without standard input');
  }
}

function closedError(): GardenError {
  return new GardenError('closed', 'the garden was closed');
}
