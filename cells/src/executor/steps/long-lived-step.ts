import { startSideBySide } from './side-by-side.js';
import { joinFailures, type Step, type StepContext, type StepFailure, type StepResult, type StepRun } from './step.js';

/** What runs for as long as the container does. */
export interface LongLivedMembers {
  action: Step;
  sidecars: Step[];
  /** Ends only by failing. */
  liveness?: Step;
  /** Never ends by itself. */
  readiness?: Step;
}

/**
 * The container's main part (spec cell §19). Any failure ends all. A clean exit ends all, well, with two exceptions: an action that
 * is watched by a liveness monitor may have put its work into the background, so the monitor decides; and with sidecars the
 * first clean exit of any of them ends all.
 */
export class LongLivedStep implements Step {
  constructor(
    private readonly members: LongLivedMembers,
    private readonly context: Pick<StepContext, 'memory' | 'lifetime'>,
  ) {}

  async run(run: StepRun): Promise<StepResult> {
    const { action, sidecars, liveness, readiness } = this.members;
    const steps = [action, ...sidecars, ...(liveness ? [liveness] : []), ...(readiness ? [readiness] : [])];
    if (steps.length === 1) return action.run(run);
    const group = startSideBySide('long-lived', steps, run, this.context);
    const failures: StepFailure[] = [];
    let finished = false;
    await Promise.all(
      group.results.map(async (ending, index) => {
        const result = await ending;
        if (result) failures.push(result);
        const daemonised = index === 0 && !result && liveness !== undefined && sidecars.length === 0;
        if (daemonised) return;
        if (!result && failures.length === 0) finished = true;
        await group.decide({ index, result });
      }),
    );
    group.done();
    return finished ? undefined : joinFailures(failures);
  }
}
