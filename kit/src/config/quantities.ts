import { z } from 'zod';

const MS_OF: { readonly [unit: string]: number } = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const BYTES_OF: { readonly [unit: string]: number } = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** The smallest and the largest value that is allowed, written as in the file. */
export interface QuantityBounds {
  readonly min?: string | number;
  readonly max?: string | number;
}

/** A schema for "15s", "1m30s", "250ms", or a number of milliseconds; its value is milliseconds. */
export function duration(bounds: QuantityBounds = {}) {
  return quantity('duration', 'a duration such as "15s", "1m30s" or "250ms"', parseDuration, bounds);
}

/** A schema for "64MiB", "1.5GB", or a number of bytes; its value is bytes. */
export function size(bounds: QuantityBounds = {}) {
  return quantity('size', 'a size such as "64MiB" or "1.5GB"', parseSize, bounds);
}

/** Milliseconds, or undefined when the text is no duration. */
export function parseDuration(text: string): number | undefined {
  let rest = text.trim();
  let sum = 0;
  do {
    const part = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)\s*/.exec(rest);
    const unit = MS_OF[part?.[2] ?? ''];
    if (!part || unit === undefined) return undefined;
    sum += Number(part[1]) * unit;
    rest = rest.slice(part[0].length);
  } while (rest !== '');
  return sum;
}

/** Bytes, or undefined when the text is no size. */
export function parseSize(text: string): number | undefined {
  const part = /^(\d+(?:\.\d+)?)\s*([KMGT]i?B|B)$/.exec(text.trim());
  const unit = BYTES_OF[part?.[2] ?? ''];
  return part && unit !== undefined ? Math.round(Number(part[1]) * unit) : undefined;
}

/** Milliseconds as people write them, as in "1m30s". */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  let rest = ms;
  let text = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms']) {
    const count = unit === 'ms' ? rest : Math.floor(rest / (MS_OF[unit] ?? 1));
    if (count === 0) continue;
    text += `${count}${unit}`;
    rest -= count * (MS_OF[unit] ?? 1);
  }
  return text;
}

/** Bytes as people write them, in the largest binary unit that divides them. */
export function formatSize(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB']) {
    const factor = BYTES_OF[unit] ?? 1;
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}

export type QuantityKind = 'duration' | 'size';

function quantity(
  kind: QuantityKind,
  expected: string,
  parse: (text: string) => number | undefined,
  { min, max }: QuantityBounds,
) {
  const bound = (value: string | number | undefined, otherwise: number): number => {
    const parsed = typeof value === 'string' ? parse(value) : (value ?? otherwise);
    if (parsed === undefined) throw new Error(`${value} is not ${expected}`);
    return parsed;
  };
  const least = bound(min, 0);
  const most = bound(max, Number.MAX_SAFE_INTEGER);
  return z
    .union([z.string(), z.number()], { error: `must be ${expected}` })
    .transform((input, context) => {
      const value = typeof input === 'number' ? input : parse(input);
      const problem =
        value === undefined || !Number.isFinite(value)
          ? `must be ${expected}, not ${JSON.stringify(input)}`
          : value < least
            ? `must be at least ${min ?? 0}`
            : value > most
              ? `must be at most ${max}`
              : undefined;
      if (problem === undefined) return value as number;
      context.issues.push({ code: 'custom', message: problem, input });
      return z.NEVER;
    })
    .meta({ quantity: kind });
}
