import type { GardenContainer } from '../../garden/garden.js';
import { count } from '../counters.js';
import { CredentialStep } from '../credentials/credential-step.js';
import { WithCredentials } from '../credentials/with-credentials.js';
import { processEnvironment } from '../environment.js';
import type { RunRequest } from '../executor.js';
import type { ContainerLog } from '../logs/container-log.js';
import { RecipeError } from '../steps/build.js';
import type { Step } from '../steps/step.js';
import type { StepMemory } from '../steps/step-memory.js';
import type { CellContext } from './cell-context.js';
import { cellMounts, credentialFiles } from './cell-mounts.js';
import { buildRecipe } from './recipe.js';

/** One container's recipe on its way. */
export interface RecipeRun {
  guid: string;
  request: RunRequest;
  container: GardenContainer;
  log: ContainerLog;
  memory: StepMemory;
  /** Aborts when the container is told to stop. */
  signal: AbortSignal;
  /** The setup is over; at once when there is none. */
  setupEnded(ok: boolean): void;
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
  const { config, lifetime, downloader, uploader, prober, healthSlots, counters } = cell;
  const { imageEnv, imageUser, hostAddress, containerAddress, ports } = container.info();
  const network = { hostAddress, containerAddress, ports };
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
      counters,
      setupEnded: run.setupEnded,
      postSetup: { command: config.postSetupHook, user: config.postSetupUser },
      routable,
      routableChanged,
      environment: ({ env, user }) =>
        processEnvironment({
          image: imageEnv,
          instance: request.instanceEnv,
          definition: request.container.environmentVariables,
          cell: cellMounts(run.guid, request, cell).variables,
          action: env,
          network,
          user: user || (imageUser ?? ''),
        }),
    });
    const failure = await withCredentials(step, run, cell).run({ signal, ready: () => run.running(hasReadiness) });
    return failure ? { failed: true, failureReason: failure.text } : { failed: false, failureReason: '' };
  } catch (error) {
    if (error instanceof RecipeError) return { failed: true, failureReason: error.message };
    throw error;
  }
}

/** The recipe, with the container's certificate kept beside it where the cell makes them. */
function withCredentials(recipe: Step, { guid, request, container, memory }: RecipeRun, cell: CellContext): Step {
  const { issuer, lifetime, config, counters } = cell;
  const files = credentialFiles(guid, cell);
  // A container of an agent that made no certificates has no place for one.
  const mounted = container.spec.mounts.some(({ source }) => source === files?.directory);
  if (!issuer || !files || !mounted) return recipe;
  const credentials = new CredentialStep(
    {
      guid,
      organizationalUnits: request.container.certificateProperties?.organizationalUnit ?? [],
      addresses: [container.info().containerAddress],
      files,
      issuer,
      validityMs: config.instanceIdentity.validity,
      report: (attempt) => count(counters.credentials, attempt),
    },
    { lifetime, clock: lifetime.clock },
  );
  return new WithCredentials(credentials, recipe, { memory, lifetime });
}
