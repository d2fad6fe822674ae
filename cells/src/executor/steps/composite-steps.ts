import { startSideBySide } from './side-by-side.js';
import {
  failed,
  joinFailures,
  type Step,
  type StepContext,
  type StepFailure,
  type StepResult,
  type StepRun,
} from './step.js';

type Context = Pick<StepContext, 'memory' | 'lifetime'>;

/** One after another; the first failure ends it. Ready with its last step. */
export class SerialStep implements Step {
  constructor(private readonly steps: readonly Step[]) {}

  async run({ signal, ready }: StepRun): Promise<StepResult> {
    for (const [index, step] of this.steps.entries()) {
      const isLast = index === this.steps.length - 1;
      // A step that is told to end before it starts finds out by itself whether it ran in an earlier life.
      const failure = await step.run({ signal, ready: isLast ? ready : () => {} });
      if (failure) return failure;
    }
    return undefined;
  }
}

/** All at once; waits for all and tells all failures. */
export class ParallelStep implements Step {
  constructor(
    private readonly id: string,
    private readonly steps: readonly Step[],
    private readonly context: Context,
  ) {}

  async run(run: StepRun): Promise<StepResult> {
    const group = startSideBySide(this.id, this.steps, run, this.context);
    const results = await Promise.all(group.results);
    group.done();
    return joinFailures(results.filter((result) => result !== undefined));
  }
}

/** All at once; the first that ends, cleanly or not, ends all, and that is a failure. */
export class CodependentStep implements Step {
  constructor(
    private readonly id: string,
    private readonly steps: readonly Step[],
    private readonly context: Context,
  ) {}

  async run(run: StepRun): Promise<StepResult> {
    const group = startSideBySide(this.id, this.steps, run, this.context);
    const failures: StepFailure[] = [];
    await Promise.all(
      group.results.map(async (ending, index) => {
        const result = await ending;
        failures.push(result ?? failed('Codependent step exited'));
        await group.decide({ index, result });
      }),
    );
    group.done();
    return joinFailures(failures);
  }
}

/** Never fails. */
export class TryStep implements Step {
  constructor(private readonly step: Step) {}

  async run(run: StepRun): Promise<StepResult> {
    await this.step.run(run);
    return undefined;
  }
}
