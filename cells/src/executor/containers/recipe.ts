import type { RunAction } from '@rivera/gen/rivera/recipe/v1/action';
import type { MemoryShare } from '../../garden/garden.js';
import type { RunRequest } from '../executor.js';
import { type HealthCheck, type HealthSettings, monitorCheck, networkChecks } from '../health/health-check.js';
import { LivenessStep } from '../health/liveness-step.js';
import type { Prober } from '../health/prober.js';
import { ReadinessStep } from '../health/readiness-step.js';
import type { Slots } from '../slots.js';
import { buildStep } from '../steps/build.js';
import { SerialStep } from '../steps/composite-steps.js';
import { LongLivedStep } from '../steps/long-lived-step.js';
import { RunStep } from '../steps/run-step.js';
import type { Step, StepContext } from '../steps/step.js';
import { MIB } from './garden-spec.js';
import { layeredRootFs } from './layered-rootfs.js';

const DEFAULT_HEALTH_SOURCE = 'HEALTH';

/** What the recipe needs besides what its steps need. */
export interface RecipeContext extends StepContext {
  prober: Prober;
  healthSettings: HealthSettings;
  healthSlots: Slots;
  /** Runs in each container after its setup; empty: nothing. */
  postSetup: { command: readonly string[]; user: string };
  /** The setup is over; at once when there is none. */
  setupEnded(ok: boolean): void;
  /** How the container stands. */
  routable: boolean;
  routableChanged(routable: boolean): void;
}

/** Everything that is to happen in a container, as one step (spec cell §19), and whether readiness decides over traffic. @throws RecipeError */
export function buildRecipe(request: RunRequest, context: RecipeContext): { step: Step; hasReadiness: boolean } {
  const place = (id: string) => ({ id, logSource: '' });
  const run = (id: string, action: RunAction, logSource: string): Step => new RunStep(id, action, logSource, context);
  const runWithin =
    (share: MemoryShare) =>
    (id: string, action: RunAction, logSource: string): Step =>
      new RunStep(id, action, logSource, context, share);
  const { liveness, readiness } = healthSteps(request, context);
  const longLived = new LongLivedStep(
    {
      action: buildStep(request.action, place('action'), context, run),
      sidecars: request.sidecars.map(({ action, memoryMb }, index) => {
        const name = `sidecar.${index}`;
        const limited = memoryMb > 0 ? runWithin({ name, bytes: memoryMb * MIB }) : run;
        return buildStep(action, place(name), context, limited);
      }),
      ...(liveness && { liveness }),
      ...(readiness && { readiness }),
    },
    context,
  );
  const steps: Step[] = [];
  const layered = layeredRootFs(request.container);
  // The first thing that happens in it; like every transfer it is not made a second time once it is done.
  if (layered) steps.push(buildStep(layered.download, place('layer'), context, run));
  if (request.setup?.action)
    steps.push(told(buildStep(request.setup, place('setup'), context, run), context.setupEnded));
  else context.setupEnded(true);
  const [path, ...args] = context.postSetup.command;
  if (path !== undefined) {
    const hook = {
      path,
      args,
      user: context.postSetup.user,
      dir: '',
      env: [],
      resourceLimits: undefined,
      logSource: '',
      suppressLogOutput: true,
      volumeMountedFiles: [],
    };
    steps.push(run('post-setup', hook, ''));
  }
  steps.push(longLived);
  return { step: steps.length === 1 ? longLived : new SerialStep(steps), hasReadiness: readiness !== undefined };
}

/** A step whose end is told. */
function told(step: Step, ended: (ok: boolean) => void): Step {
  return {
    run: async (run) => {
      const failure = await step.run(run);
      ended(failure === undefined);
      return failure;
    },
  };
}

/** A check definition, if there is one, speaks for itself, even when it is empty; else the monitor does (spec cell §23). */
function healthSteps(request: RunRequest, context: RecipeContext): { liveness?: Step; readiness?: Step } {
  const { checkDefinition, monitor, startTimeoutMs } = request;
  const { healthSettings: settings, healthSlots: slots, prober, container } = context;
  const { unhealthyIntervalMs } = settings;
  const liveness = (checks: HealthCheck[], style: 'network' | 'action', healthSource: string): Step =>
    new LivenessStep({ checks, style, startTimeoutMs, unhealthyIntervalMs, healthSource }, context);
  if (checkDefinition) {
    const healthSource = checkDefinition.logSource || DEFAULT_HEALTH_SOURCE;
    const how = { prober, address: container.info().containerAddress, settings, slots };
    const checks = networkChecks(checkDefinition.checks, how);
    const readinessChecks = networkChecks(checkDefinition.readinessChecks, how);
    return {
      ...(checks.length > 0 && { liveness: liveness(checks, 'network', healthSource) }),
      ...(readinessChecks.length > 0 && {
        readiness: new ReadinessStep(
          {
            checks: readinessChecks,
            unhealthyIntervalMs,
            healthSource,
            initiallyReady: context.routable,
            changed: context.routableChanged,
          },
          context,
        ),
      }),
    };
  }
  if (!monitor?.action) return {};
  const check = monitorCheck(monitor, context, { settings, slots });
  return { liveness: liveness([check], 'action', context.log.defaultSource) };
}
