import type { SimulatedCell } from '@rivera/server/auction/simulation/simulated-cluster';

/** What the picture says above and beside the bars. */
export interface SpreadPicture {
  readonly title: string;
  readonly subtitle: string;
  readonly cells: readonly SimulatedCell[];
}

const WIDTH = 1_000;
const HEIGHT = 320;
const LEFT = 60;
const TOP = 60;
const BOTTOM = 40;
const PLOT_WIDTH = WIDTH - LEFT - 20;
const PLOT_HEIGHT = HEIGHT - TOP - BOTTOM;
const BEFORE_COLOUR = '#b8bec8';
/** One per zone, over and over; they differ in lightness as well. */
const ZONE_COLOURS = ['#1f6feb', '#e8912d', '#2da77a', '#8250df', '#d1477a', '#6e7781'];

/**
 * Instances per cell as an SVG: a bar for each cell, zone by zone, what was there before in grey. All bars of a colour are one path,
 * so that ten thousand cells make a small file.
 */
export function spreadSvg({ title, subtitle, cells }: SpreadPicture): string {
  const zones = [...new Set(cells.map(({ zone }) => zone))].sort();
  const ordered = zones.flatMap((zone) => cells.filter((cell) => cell.zone === zone));
  const highest = Math.max(1, ...ordered.map(({ before, placed }) => before + placed));
  const step = PLOT_WIDTH / Math.max(1, ordered.length);
  const y = (count: number) => round(TOP + PLOT_HEIGHT - (count / highest) * PLOT_HEIGHT);
  const bar = (place: number, from: number, to: number) =>
    // A hair of space between bars, as long as they are wide enough to have any.
    `M${round(LEFT + place * step)} ${y(from)}V${y(to)}h${round(step > 3 ? step - 1 : step)}V${y(from)}z`;
  const older: string[] = [];
  const newer = new Map<string, string[]>(zones.map((zone) => [zone, []]));
  ordered.forEach(({ zone, before, placed }, place) => {
    if (before > 0) older.push(bar(place, 0, before));
    if (placed > 0) newer.get(zone)?.push(bar(place, before, before + placed));
  });
  const legend = [...zones.map((zone, n) => [zone, colourOf(n)] as const), ['before', BEFORE_COLOUR] as const];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="24" font-size="16">${escapeXml(title)}</text>`,
    `<text x="${LEFT}" y="42" fill="#57606a">${escapeXml(subtitle)}</text>`,
    ...[0, highest / 2, highest].map(
      (count) =>
        `<path d="M${LEFT} ${y(count)}h${PLOT_WIDTH}" stroke="#d0d7de"/>` +
        `<text x="${LEFT - 8}" y="${y(count) + 4}" text-anchor="end">${round(count)}</text>`,
    ),
    `<path fill="${BEFORE_COLOUR}" d="${older.join('')}"/>`,
    ...zones.map((zone, n) => `<path fill="${colourOf(n)}" d="${newer.get(zone)?.join('') ?? ''}"/>`),
    ...legend.map(
      ([name, colour], n) =>
        `<rect x="${LEFT + n * 110}" y="${HEIGHT - 24}" width="12" height="12" fill="${colour}"/>` +
        `<text x="${LEFT + n * 110 + 18}" y="${HEIGHT - 14}">${escapeXml(name)}</text>`,
    ),
    '</svg>\n',
  ].join('\n');
}

function colourOf(zone: number): string {
  return ZONE_COLOURS[zone % ZONE_COLOURS.length] as string;
}

function round(n: number): number {
  return Math.round(n * 100) / 100;
}

function escapeXml(text: string): string {
  return text.replace(/[<>&"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
