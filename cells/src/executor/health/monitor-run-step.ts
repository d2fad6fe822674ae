import type { RunAction } from '@rivera/gen/rivera/recipe/v1/action';
import type { InteractiveProcess } from '../../garden/garden.js';
import type { OutputStream } from '../logs/container-log.js';
import { CANCELLED, failed, type Step, type StepContext, type StepResult, type StepRun } from '../steps/step.js';

/** Of the output that explains a failure. */
const MAX_TEXT_BYTES = 1024;

/**
 * A process of a monitor. It is run as a process for a person is: it ends with the agent and the garden keeps nothing of it, which
 * would pile up with one every 30 seconds. Its output is shown whatever the definition says, and explains its failure.
 */
export class MonitorRunStep implements Step {
  constructor(
    private readonly action: RunAction,
    private readonly logSource: string,
    private readonly context: StepContext,
  ) {}

  async run({ signal, ready }: StepRun): Promise<StepResult> {
    if (signal.aborted) return CANCELLED;
    const { container, environment, lifetime } = this.context;
    const { path, args, dir, user, resourceLimits } = this.action;
    const nofile = resourceLimits?.nofile;
    let process: InteractiveProcess;
    try {
      process = await lifetime.alive(
        lifetime.track(
          container.exec({
            path,
            args,
            env: environment(this.action),
            dir,
            user,
            ...(nofile !== undefined && { nofile }),
          }),
        ),
      );
    } catch (error) {
      return failed(`Failed to invoke process: ${error instanceof Error ? error.message : String(error)}`);
    }
    ready();
    const kill = (): void => process.kill();
    signal.addEventListener('abort', kill, { once: true });
    lifetime.signal.addEventListener('abort', kill, { once: true });
    if (signal.aborted) kill();
    process.stdin.end();
    const said = this.#show(process);
    const { code } = await lifetime.alive(process.wait()).finally(() => {
      signal.removeEventListener('abort', kill);
      lifetime.signal.removeEventListener('abort', kill);
    });
    if (signal.aborted) return CANCELLED;
    return code === 0 ? undefined : failed(said() || `Exited with status ${code}`);
  }

  /** Passes output on to the log. Returns what was said so far. */
  #show(process: InteractiveProcess): () => string {
    const { log, clock } = this.context;
    const sink = log.sink(this.action.logSource || this.logSource);
    const pieces: Buffer[] = [];
    let bytes = 0;
    const follow = (stream: OutputStream): void => {
      const splitter = sink.splitter(stream);
      process[stream].on('data', (data: Buffer) => {
        splitter.push(data, clock.now());
        if (bytes < MAX_TEXT_BYTES) pieces.push(data.subarray(0, MAX_TEXT_BYTES - bytes));
        bytes += data.length;
      });
      process[stream].once('end', () => splitter.end());
      // A stream that breaks shows in the exit.
      process[stream].once('error', () => splitter.end());
    };
    follow('stdout');
    follow('stderr');
    return () => Buffer.concat(pieces).toString('utf8').trim();
  }
}
