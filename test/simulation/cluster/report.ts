import { type Coverage, HAPPENINGS } from './coverage.js';
import type { HistoryReport } from './history.js';

/** What happened how often, for people. */
export function coverageTable(coverage: Coverage): string {
  const width = Math.max(...HAPPENINGS.map((name) => name.length));
  const rows = HAPPENINGS.map((name) => {
    const times = coverage.happened[name];
    return `  ${name.padEnd(width)}  ${String(times).padStart(9)}${times === 0 ? '   never' : ''}`;
  });
  return rows.join('\n');
}

/** A history that went wrong: what, when, what went before, and how to see it again. */
export function failureText({ seed, violation }: HistoryReport, steps: number): string {
  if (violation === undefined) throw new Error(`seed ${seed} did not fail`);
  return [
    ...violation.transcript,
    '',
    `seed ${seed} breaks an invariant after step ${violation.step} of ${steps}:`,
    `  ${violation.what}`,
    'see it again with',
    `  ${commandFor(seed, steps)}`,
  ].join('\n');
}

export function commandFor(seed: number, steps: number): string {
  return `npm run simulate -- --from ${seed} --seeds 1 --steps ${steps} --verbose`;
}

/** One line about how far a run has come. */
export function progressText(coverage: Coverage, of: { seeds: number; elapsedMs: number }): string {
  const { histories, commands, happened } = coverage;
  const perSecond = of.elapsedMs === 0 ? 0 : Math.round((1_000 * histories) / of.elapsedMs);
  const faults = HAPPENINGS.reduce((sum, name) => sum + happened[name], 0);
  return (
    `${histories} of ${of.seeds} histories, ${perSecond}/s, ${commands} commands, ` +
    `${happened['leader change']} leader changes, ${faults} faults and their traces`
  );
}
