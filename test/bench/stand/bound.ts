import type { Figure } from '../figures.js';
import type { Commits, ProcessUse, Use } from './usage.js';

/** From here on a thread has no more to give: what is left goes into waking up and being moved. */
const FULL_THREAD = 0.85;
const FULL_MACHINE = 0.9;
/** Transactions follow one another; with so little between them they are what everything waits for. */
const FULL_COMMIT = 0.8;

/** From here on what other programs of the machine take is part of the story. */
const MUCH_ELSEWHERE = 0.3;

/**
 * What kept a figure from being better, from what was used while it was measured. Threads that fill a core between them and none alone
 * take turns: each waits for what the other does.
 */
export function boundOf(use: Use): Figure {
  const { processes, machine, machineCores, commits, seconds } = use;
  const committing = (commits?.seconds ?? 0) / seconds;
  const others = Math.max(0, machine * machineCores - processes.reduce((sum, { cores }) => sum + cores, 0));
  const conditions = [
    ...processes.map(inWords),
    `others ${percent(others)}`,
    `machine ${percent(machine)} of ${machineCores} cores`,
    ...(commits !== undefined && commits.count > 0
      ? [`${commits.count} transactions of ${meanMs(commits)} ms, ${percent(committing)} of the time`]
      : []),
  ].join(', ');
  const [busiest] = [...processes].sort((a, b) => b.busiestThread - a.busiestThread);
  if (busiest !== undefined && busiest.busiestThread >= FULL_THREAD) {
    const value = 100 * busiest.busiestThread;
    return { name: `bound by one thread of the ${busiest.name}`, value, unit: '% of a core', conditions };
  }
  if (machine >= FULL_MACHINE) {
    const name = `bound by the machine${others >= MUCH_ELSEWHERE ? ', busy with others' : "'s cores"}`;
    return { name, value: 100 * machine, unit: '% of all cores', conditions };
  }
  if (committing >= FULL_COMMIT) {
    return { name: 'bound by transactions', value: 100 * committing, unit: '% of the time', conditions };
  }
  const turns = processes.reduce((sum, { busiestThread }) => sum + busiestThread, 0);
  if (turns >= FULL_THREAD) {
    return { name: 'bound by waiting for one another', value: 100 * turns, unit: '% of a core', conditions };
  }
  return { name: 'bound by waiting: no core is full', value: 100 * machine, unit: '% of all cores', conditions };
}

/** Threads beside the busiest count when they are more than noise, as those that collect garbage. */
function inWords({ name, cores, busiestThread }: ProcessUse): string {
  return cores - busiestThread < 0.05
    ? `${name} ${percent(cores)}`
    : `${name} ${percent(cores)}, one thread ${percent(busiestThread)}`;
}

function meanMs({ count, seconds }: Commits): string {
  return ((1000 * seconds) / count).toPrecision(2);
}

function percent(part: number): string {
  return `${Math.round(100 * part)} %`;
}
