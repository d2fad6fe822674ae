import type { ProcessInput, ProcessOutput as Said } from '@rivera/gen/rivera/garden/v1/container';
import type {
  AttachRequest,
  AttachResponse,
  RunRequest,
  RunResponse,
} from '@rivera/gen/rivera/garden/v1/garden_service';
import { type BidiStream, bidi } from '@rivera/kit/grpc/dial';
import {
  type ExitStatus,
  GardenError,
  type GardenProcess,
  type ProcessOutput,
  type ProcessSpec,
  type WindowSize,
} from '../../garden/garden.js';
import { exitFrom, pieceFrom, processTo } from '../messages.js';
import { type Remote, told } from './remote.js';

/** Bytes of standard input in one message. */
const STDIN_BYTES = 512 * 1024;

/** Starts a process, and stays only until it runs. @throws GardenError */
export async function startProcess(remote: Remote, handle: string, process: ProcessSpec): Promise<void> {
  const stream = bidi<RunRequest, RunResponse>(() => remote.client.run(), remote.closing);
  try {
    await stream.write({ message: { $case: 'start', value: { handle, process: processTo(process) } } });
    for await (const { output } of stream.responses) if (output?.output?.$case === 'started') return;
    throw new GardenError('process-failed', 'the service did not say that the process runs');
  } catch (error) {
    throw told(remote, error, 'process-failed');
  } finally {
    stream.cancel();
  }
}

/** A process on the other side; each question is a meeting of its own. */
export class RemoteProcess implements GardenProcess {
  private sent: Promise<void> = Promise.resolve();

  constructor(
    private readonly remote: Remote,
    private readonly handle: string,
    readonly id: string,
  ) {}

  async *output(signal?: AbortSignal): AsyncGenerator<ProcessOutput> {
    const meeting = this.meet({ withoutOutput: false, signal });
    try {
      for await (const said of meeting.responses) {
        const output = said.output?.output;
        if (output?.$case === 'pieces') for (const piece of output.value.pieces) yield pieceFrom(piece);
        if (output?.$case === 'exit') return;
      }
    } catch (error) {
      if (!signal?.aborted) throw told(this.remote, error, 'process-failed');
    } finally {
      meeting.cancel();
    }
  }

  async wait(signal?: AbortSignal): Promise<ExitStatus> {
    const meeting = this.meet({ withoutOutput: true, signal });
    try {
      for await (const { output } of meeting.responses) {
        const exit = exitOf(output);
        if (exit) return exit;
      }
      throw new GardenError('unavailable', 'the service did not say how the process ended');
    } catch (error) {
      signal?.throwIfAborted();
      throw told(this.remote, error, 'unavailable');
    } finally {
      meeting.cancel();
    }
  }

  signal(signal: NodeJS.Signals): Promise<void> {
    return this.say([{ $case: 'signal', value: signal.replace(/^SIG/, '') }]);
  }

  write(data: Buffer): Promise<void> {
    const inputs: ProcessInput['input'][] = [];
    for (let from = 0; from < data.length; from += STDIN_BYTES)
      inputs.push({ $case: 'stdin', value: data.subarray(from, from + STDIN_BYTES) });
    return this.say(inputs);
  }

  closeStdin(): Promise<void> {
    return this.say([{ $case: 'stdinClosed', value: true }]);
  }

  resize(size: WindowSize): Promise<void> {
    return this.say([{ $case: 'windowSize', value: { ...size } }]);
  }

  /** One after the other, as input has an order. */
  private say(inputs: ProcessInput['input'][]): Promise<void> {
    const saying = this.sent.then(() => this.sayNow(inputs));
    this.sent = saying.catch(() => undefined);
    return saying;
  }

  /** A meeting without output is over when all that was said has been taken. */
  private async sayNow(inputs: ProcessInput['input'][]): Promise<void> {
    const meeting = this.meet({ withoutOutput: true });
    try {
      // A process that has ended takes nothing more; how the meeting ended is told by what was answered.
      for (const input of inputs)
        await meeting.write({ message: { $case: 'input', value: { input } } }).catch(() => undefined);
      meeting.end();
      for await (const { output } of meeting.responses) if (exitOf(output)) return;
    } catch (error) {
      throw told(this.remote, error, 'invalid');
    } finally {
      meeting.cancel();
    }
  }

  private meet(o: {
    withoutOutput: boolean;
    signal?: AbortSignal | undefined;
  }): BidiStream<AttachRequest, AttachResponse> {
    const { client, closing } = this.remote;
    closing.throwIfAborted();
    const signal = o.signal ? AbortSignal.any([o.signal, closing]) : closing;
    const stream = bidi<AttachRequest, AttachResponse>(() => client.attach(), signal);
    const value = { handle: this.handle, processId: this.id, withoutOutput: o.withoutOutput };
    void stream.write({ message: { $case: 'start', value } });
    return stream;
  }
}

function exitOf(said: Said | undefined): ExitStatus | undefined {
  return said?.output?.$case === 'exit' ? exitFrom(said.output.value) : undefined;
}
