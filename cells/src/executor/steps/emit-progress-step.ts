import type { EmitProgressAction } from '@rivera/gen/rivera/recipe/v1/action';
import type { OutputStream } from '../logs/container-log.js';
import type { Step, StepContext, StepResult, StepRun } from './step.js';

/** Writes lines around the inner step, each once, also when a later executor goes on with it. */
export class EmitProgressStep implements Step {
  constructor(
    private readonly id: string,
    private readonly step: Step,
    private readonly action: EmitProgressAction,
    private readonly logSource: string,
    private readonly context: Pick<StepContext, 'memory' | 'log' | 'lifetime'>,
  ) {}

  async run(run: StepRun): Promise<StepResult> {
    const { startMessage, successMessage, failureMessagePrefix } = this.action;
    await this.#once('start', 'stdout', startMessage);
    const failure = await this.step.run(run);
    if (!failure) await this.#once('end', 'stdout', successMessage);
    else if (failureMessagePrefix !== '') {
      await this.#once(
        'end',
        'stderr',
        failure.kind === 'failed' ? `${failureMessagePrefix}: ${failure.text}` : failureMessagePrefix,
      );
    }
    return failure;
  }

  async #once(which: 'start' | 'end', stream: OutputStream, text: string): Promise<void> {
    const { memory, log, lifetime } = this.context;
    const key = `line.${which}:${this.id}`;
    if (text === '' || memory.get(key) === true) return;
    log.sink(this.action.logSource || this.logSource).line(stream, text);
    // A line that is told twice after a power cut does no harm, so the disk is not waited for.
    await lifetime.alive(memory.set(key, true, { durable: false }));
  }
}
