/** What differs from run to run, and what stands for it. The order matters. */
const VARIABLE: readonly [RegExp, string][] = [
  [/\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d{4})/g, 'TIME'],
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]+\b/g, 'GUID'],
  [/\btask-[a-z0-9]{8}\b/g, 'TASK'],
  [/\b127\.0\.0\.1:\d+\b/g, 'ADDRESS'],
  [/\b\d+(?:\.\d+)?\s?(?:ms|s|m|h|d)\b/g, 'DURATION'],
  [/\b(?:\d{3,}) (?:MiB|MB)\b/g, 'AMOUNT'],
  [/\bversion \d[^\s,]*/g, 'version V'],
];

/** A line without what differs from run to run, nor the width of columns. */
export function shapeOf(line: string): string {
  const replaced = VARIABLE.reduce((text, [pattern, name]) => text.replaceAll(pattern, name), line);
  return replaced.replaceAll(/\s+/g, ' ').trim();
}

/** What a command wrote. */
export interface Written {
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
}

/**
 * Compares what a page shows with what a run wrote.
 * Everything on stdout has to be shown, in order; `…` stands for any lines. Of stderr, a page shows what it likes.
 * @returns the difference in words, or undefined
 */
export function differenceOf(shown: readonly string[], written: Written): string | undefined {
  const notes = new Set(written.stderr.map(shapeOf));
  const out = withoutBlank(written.stdout).map(shapeOf);
  const wanted = withoutBlank(shown).map(shapeOf);
  const expected = wanted.filter((line) => out.includes(line) || !notes.has(line));
  if (fits(expected, out)) return undefined;
  return `the page shows\n${list(expected)}\nand the run wrote\n${list(out)}\nand on stderr\n${list([...notes])}`;
}

/** Pairs of addresses of local ports, as shown and as written, line by line of equal shape. */
export function addressesIn(shown: readonly string[], written: readonly string[]): [shown: string, written: string][] {
  const left = [...written];
  return shown.flatMap((line) => {
    const at = left.findIndex((other) => shapeOf(other) === shapeOf(line));
    const [match = ''] = at < 0 ? [] : left.splice(at, 1);
    const there = addresses(match);
    return addresses(line).flatMap((address, i): [string, string][] => {
      const other = there[i];
      return other === undefined ? [] : [[address, other]];
    });
  });
}

function addresses(line: string): string[] {
  return line.match(/\b127\.0\.0\.1:\d+\b/g) ?? [];
}

/** Lists of records come in no promised order, so lines between two `…` are compared as they come. */
function fits(expected: readonly string[], actual: readonly string[]): boolean {
  const [first, ...rest] = expected;
  if (first === undefined) return actual.length === 0;
  if (first !== '…') return actual[0] === first && fits(rest, actual.slice(1));
  return Array.from({ length: actual.length + 1 }, (_, skipped) => skipped).some((n) => fits(rest, actual.slice(n)));
}

function withoutBlank(lines: readonly string[]): string[] {
  return lines.filter((line) => line.trim() !== '');
}

function list(lines: readonly string[]): string {
  return lines.length === 0 ? '  (nothing)' : lines.map((line) => `  ${line}`).join('\n');
}
