import { parseArgs } from 'node:util';
import { BENCHMARKS, type Benchmark, type Sizes } from './catalogue.js';

/** What was asked for. */
export interface Request {
  readonly benchmarks: readonly (readonly [name: string, benchmark: Benchmark])[];
  readonly sizes: Sizes;
  readonly json: boolean;
  readonly help: boolean;
}

/** A command line that makes no sense. */
export class UsageError extends Error {}

const SIZE = { type: 'string' } as const;

/** @throws UsageError */
export function requestOf(args: readonly string[]): Request {
  const { values, positionals } = parsed(args);
  const benchmarks = positionals.map((name) => {
    const benchmark = Object.hasOwn(BENCHMARKS, name) ? BENCHMARKS[name] : undefined;
    if (benchmark === undefined) throw new UsageError(`there is no benchmark "${name}"`);
    return [name, benchmark] as const;
  });
  const { json, help } = values;
  if (benchmarks.length === 0 && !help) throw new UsageError('name at least one benchmark');
  const sizes = {
    lrps: wholeNumber('--lrps', values.lrps),
    count: wholeNumber('--count', values.count),
    cells: wholeNumber('--cells', values.cells),
  };
  return { benchmarks, sizes, json, help };
}

export function usage(): string {
  const names = Object.entries(BENCHMARKS).map(([name, { purpose }]) => `  ${name.padEnd(16)} ${purpose}`);
  return [
    'usage: npm run bench -- NAME… [--json] [--lrps N] [--count N] [--cells N]',
    '  --json  one line of JSON per figure',
    '',
    ...names,
    '',
  ].join('\n');
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
        lrps: SIZE,
        count: SIZE,
        cells: SIZE,
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** Bounded, so that a slip of the finger does not fill the disk. */
const MAX_SIZE = 10_000_000;

function wholeNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (number >= 1 && number <= MAX_SIZE) return number;
  throw new UsageError(`${option} must be a whole number from 1 to ${MAX_SIZE}, not "${text}"`);
}
