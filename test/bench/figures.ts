/** One measured number. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What it was measured under. */
  readonly conditions: string;
  /** What the reference does, with its unit and size; absent: not known. */
  readonly reference?: string;
}

/** A benchmark prints what it finds as it finds it. */
export type Report = (figure: Figure) => void;

/** One line per figure: JSON for programs, words for people. */
export function printer(benchmark: string, json: boolean): Report {
  return (figure) => {
    const line = json ? JSON.stringify({ benchmark, ...figure }) : forPeople(figure);
    process.stdout.write(`${line}\n`);
  };
}

/** The value below which the given part of the samples lies. */
export function quantile(samples: readonly number[], part: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}

function forPeople({ name, value, unit, conditions, reference }: Figure): string {
  const beside = reference === undefined ? '' : `reference ${reference}`;
  return `${name.padEnd(40)} ${format(value).padStart(10)} ${unit.padEnd(14)} ${beside.padEnd(38)} ${conditions}`;
}

function format(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
}
