import { stripVTControlCharacters } from 'node:util';

/** A column: its title (shown in lower case) and where its cells lean. */
export interface Column {
  title: string;
  align?: 'left' | 'right';
}

const GAP = '   ';

/**
 * Rows under a lower-case header, columns three blanks apart, as the reference's tools print them. Cells may carry colours.
 * The last column is not padded, so that no line ends in blanks.
 */
export function renderTable(columns: readonly (string | Column)[], rows: readonly (readonly string[])[]): string {
  const specs = columns.map((column) => (typeof column === 'string' ? { title: column } : column));
  const header = specs.map((column) => column.title.toLowerCase());
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => widthOf(row[i] ?? ''))));
  const line = (cells: readonly string[]) =>
    specs
      .map((column, i) => pad(cells[i] ?? '', widths[i] ?? 0, column.align ?? 'left', i === specs.length - 1))
      .join(GAP)
      .trimEnd();
  return [header, ...rows].map((cells) => `${line(cells)}\n`).join('');
}

/** `name   value` pairs, for one object. Pairs without a value are left out. */
export function renderPairs(pairs: readonly (readonly [string, string | undefined])[]): string {
  const shown = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== undefined && pair[1] !== '');
  const width = Math.max(0, ...shown.map(([name]) => name.length + 1));
  return shown.map(([name, value]) => `${`${name}:`.padEnd(width)}${GAP}${value}\n`).join('');
}

function pad(text: string, width: number, align: 'left' | 'right', last: boolean): string {
  const blanks = ' '.repeat(Math.max(0, width - widthOf(text)));
  if (align === 'right') return blanks + text;
  return last ? text : text + blanks;
}

/** Columns on a terminal: East Asian wide characters take two, colours none. */
function widthOf(text: string): number {
  let width = 0;
  for (const character of stripVTControlCharacters(text)) {
    width += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/.test(
      character,
    )
      ? 2
      : 1;
  }
  return width;
}
