import type { GardenContainer } from '../../garden/garden.js';
import { processEnvironment } from '../environment.js';
import type { RunRequest } from '../executor.js';
import type { ContainerLog } from '../logs/container-log.js';
import { RecipeError } from '../steps/build.js';
import type { StepMemory } from '../steps/step-memory.js';
import type { CellContext } from './cell-context.js';
import { buildRecipe } from './recipe.js';

/** One container's recipe on its way. */
export interface RecipeRun {
  request: RunRequest;
  container: GardenContainer;
  log: ContainerLog;
  memory: StepMemory;
  /** Aborts when the container is told to stop. */
  signal: AbortSignal;
  /** How the container stands. */
  routable: boolean;
  /** Everything has got going. */
  running(hasReadiness: boolean): void;
  routableChanged(routable: boolean): void;
}

/** Carries the recipe out, or goes on with it, and says how the container ended (spec cell §19). */
export async function runRecipe(
  run: RecipeRun,
  cell: CellContext,
): Promise<{ failed: boolean; failureReason: string }> {
  const { request, container, log, memory, signal, routable, routableChanged } = run;
  const { config, lifetime, downloader, uploader, prober, healthSlots } = cell;
  const { imageEnv, imageUser, imageDir: _, ...network } = container.info();
  try {
    const { step, hasReadiness } = buildRecipe(request, {
      container,
      log,
      memory,
      lifetime,
      clock: lifetime.clock,
      downloader,
      uploader,
      prober,
      healthSlots,
      healthSettings: {
        healthyIntervalMs: config.healthyMonitoringInterval,
        unhealthyIntervalMs: config.unhealthyMonitoringInterval,
        defaultTimeoutMs: config.declarativeHealthcheckDefaultTimeout,
      },
      gracefulShutdownMs: config.gracefulShutdownInterval,
      postSetup: { command: config.postSetupHook, user: config.postSetupUser },
      routable,
      routableChanged,
      environment: ({ env, user }) =>
        processEnvironment({
          image: imageEnv,
          instance: request.instanceEnv,
          definition: request.container.environmentVariables,
          action: env,
          network,
          user: user || (imageUser ?? ''),
        }),
    });
    const failure = await step.run({ signal, ready: () => run.running(hasReadiness) });
    return failure ? { failed: true, failureReason: failure.text } : { failed: false, failureReason: '' };
  } catch (error) {
    if (error instanceof RecipeError) return { failed: true, failureReason: error.message };
    throw error;
  }
}
