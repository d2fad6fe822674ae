/** One measured number. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What it was measured under. */
  readonly conditions: string;
  /** What the reference has published for the same. */
  readonly reference?: string;
}

/** A benchmark prints what it finds as it finds it. */
export type Report = (figure: Figure) => void;

/** One line per figure: JSON for programs, words for people. */
export function printer(json: boolean): Report {
  return (figure) => {
    if (json) process.stdout.write(`${JSON.stringify(figure)}\n`);
    else
      process.stdout.write(
        `${figure.name.padEnd(44)} ${format(figure.value).padStart(12)} ${figure.unit.padEnd(16)} ${figure.conditions}${figure.reference === undefined ? '' : ` (reference: ${figure.reference})`}\n`,
      );
  };
}

/** The value below which the given part of the samples lies. */
export function quantile(samples: readonly number[], part: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}

function format(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
}
