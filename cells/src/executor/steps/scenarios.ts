import type { RunRequest } from '../executor.js';
import { act, attempt, codependent, parallel, portChecks, run, serial, type TestCell, timeout } from '../testing.js';

/** A recipe and what it must come to, whatever happens to the agent meanwhile. */
export interface Scenario {
  name: string;
  recipe: Partial<RunRequest> & Pick<RunRequest, 'action'>;
  outcome: string;
  /** Processes that must have been started, each once. */
  processes: string[];
  /** Told to stop after so long. */
  stopAfterMs?: number;
  /** Ports that answer until so many ms after the start; others never do. */
  healthyUntilMs?: { [port: number]: number };
}

const progress = (
  action: RunRequest['action'],
  startMessage: string,
  failureMessagePrefix: string,
): RunRequest['action'] =>
  act('emitProgressAction', {
    action,
    startMessage,
    successMessage: 'it went well',
    failureMessagePrefix,
    logSource: 'STG',
  });

export const SCENARIOS: Scenario[] = [
  { name: 'a clean exit', recipe: { action: run('/sim/exit', 0, 200) }, outcome: 'succeeded: ', processes: ['action'] },
  {
    name: 'a failure',
    recipe: { action: run('/sim/exit', 3, 200) },
    outcome: 'failed: APP: Exited with status 3',
    processes: ['action'],
  },
  {
    name: 'a program that does not exist',
    recipe: { action: run('/sim/missing') },
    outcome: 'failed: exec: "/sim/missing": no such file or directory',
    processes: [],
  },
  {
    name: 'setup first, then one after another until one fails',
    recipe: {
      setup: run('/sim/exit', 0, 100),
      action: serial(run('/sim/exit', 0, 100), run('/sim/exit', 4, 100), run('/sim/run')),
    },
    outcome: 'failed: APP: Exited with status 4',
    processes: ['action.0', 'action.1', 'setup'],
  },
  {
    name: 'a failed setup keeps the action from running',
    recipe: { setup: run('/sim/exit', 5, 100), action: run('/sim/run') },
    outcome: 'failed: APP: Exited with status 5',
    processes: ['setup'],
  },
  {
    name: 'parallel waits for all and tells all failures',
    recipe: { action: parallel(run('/sim/exit', 1, 100), run('/sim/exit', 0, 300), run('/sim/exit', 2, 200)) },
    outcome: 'failed: APP: Exited with status 1; APP: Exited with status 2',
    processes: ['action.0', 'action.1', 'action.2'],
  },
  {
    name: 'codependent ends all when the first exits, even cleanly',
    recipe: { action: codependent(run('/sim/run', 50), run('/sim/exit', 0, 150)) },
    outcome: 'failed: Codependent step exited',
    processes: ['action.0', 'action.1'],
  },
  {
    name: 'codependent tells why the first failed and not that the others were told to end',
    recipe: { action: codependent(run('/sim/run', 150), run('/sim/exit', 9, 150)) },
    outcome: 'failed: APP: Exited with status 9',
    processes: ['action.0', 'action.1'],
  },
  {
    name: 'a timeout ends what takes too long',
    recipe: { action: timeout(500, run('/sim/run', 150)) },
    outcome: 'failed: exceeded 500ms timeout',
    processes: ['action'].map((id) => `${id}.0`),
  },
  {
    name: 'a timeout leaves alone what is in time',
    recipe: { action: timeout(90_000, run('/sim/exit', 0, 150)) },
    outcome: 'succeeded: ',
    processes: ['action.0'],
  },
  {
    name: 'try never fails, not even over a timeout',
    recipe: {
      action: serial(attempt(timeout(100, run('/sim/run'))), attempt(run('/sim/exit', 7)), run('/sim/exit', 0, 100)),
    },
    outcome: 'succeeded: ',
    processes: ['action.0.0.0', 'action.1.0', 'action.2'],
  },
  {
    name: 'progress lines',
    recipe: {
      action: serial(
        progress(run('/sim/exit', 0, 100), 'starting', ''),
        progress(run('/sim/exit', 6, 100), '', 'it went wrong'),
      ),
    },
    outcome: 'failed: APP: Exited with status 6',
    processes: ['action.0.0', 'action.1.0'],
  },
  {
    name: 'the first clean exit with sidecars ends all, well',
    recipe: {
      action: run('/sim/run', 100),
      sidecars: [sidecar(run('/sim/exit', 0, 200)), sidecar(run('/sim/run', 50))],
    },
    outcome: 'succeeded: ',
    processes: ['action', 'sidecar.0', 'sidecar.1'],
  },
  {
    name: 'a failing sidecar ends all',
    recipe: { action: run('/sim/run', 100), sidecars: [sidecar(run('/sim/exit', 8, 200))] },
    outcome: 'failed: APP: Exited with status 8',
    processes: ['action', 'sidecar.0'],
  },
  {
    name: 'a process that is told to stop',
    recipe: { action: run('/sim/run', 300) },
    stopAfterMs: 200,
    outcome: 'failed, stopped: cancelled',
    processes: ['action'],
  },
  {
    name: 'a setup that is told to stop is waited for, and the action does not run',
    recipe: { setup: run('/sim/run', 300), action: run('/sim/run') },
    stopAfterMs: 200,
    outcome: 'failed, stopped: cancelled',
    processes: ['setup'],
  },
  {
    name: 'an application that becomes unhealthy',
    recipe: { action: run('/sim/run', 100), checkDefinition: portChecks([8080]), startTimeoutMs: 60_000 },
    healthyUntilMs: { 8080: 20_000 },
    outcome: 'failed: Instance became unhealthy: Liveness check unsuccessful: port 8080 is closed',
    processes: ['action'],
  },
  {
    name: 'an application that puts its work into the background lives as long as it is healthy',
    recipe: { action: run('/sim/exit', 0, 100), checkDefinition: portChecks([8080]) },
    healthyUntilMs: { 8080: 20_000 },
    outcome: 'failed: Instance became unhealthy: Liveness check unsuccessful: port 8080 is closed',
    processes: ['action'],
  },
  {
    name: 'a crash counts, not the health that goes with it',
    recipe: { action: run('/sim/exit', 1, 300), checkDefinition: portChecks([8080]) },
    healthyUntilMs: { 8080: 200 },
    outcome: 'failed: APP: Exited with status 1',
    processes: ['action'],
  },
];

function sidecar(action: RunRequest['action']): RunRequest['sidecars'][number] {
  return { action, diskMb: 0, memoryMb: 0 };
}

/** Makes the cell's probes answer as the scenario says. */
export function prepare(cell: TestCell, scenario: Scenario): void {
  const startMs = cell.clock.now();
  cell.prober = {
    probe: async (check) => {
      const port = check.probe?.value.port ?? 0;
      return cell.clock.now() - startMs < (scenario.healthyUntilMs?.[port] ?? 0) ? undefined : `port ${port} is closed`;
    },
  };
}
