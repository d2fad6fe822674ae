const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** How long ago, in one or two characters and a unit: `4s`, `3m`, `12h`, `9d`. Clocks that differ give `0s`, not less. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`;
}

/** Age of a moment; `-` when there is none. */
export function ageOf(moment: Date | undefined, nowMs: number): string {
  return moment === undefined ? '-' : formatAge(nowMs - moment.getTime());
}

/** How long something took: `85 ms`, `1.4 s`, `20 s`, `2 m`, `2 m 5 s`. */
export function formatTook(ms: number): string {
  if (ms < 100) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms % 1000 === 0 ? 0 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} m${seconds % 60 === 0 ? '' : ` ${seconds % 60} s`}`;
}

/**
 * `500ms`, `30s`, `2m`, `1h30m`, `7d`; a bare number counts seconds.
 * @returns milliseconds, or undefined when the text is none of these
 */
export function parseDuration(text: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(text)) return Math.round(Number(text) * 1000);
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    total += Number(amount) * (UNITS_MS[unit ?? ''] ?? 0);
  }
  return Math.round(total);
}

/** A protobuf Duration. */
export function toDuration(ms: number): { seconds: number; nanos: number } {
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 };
}

/** `2026-03-24T01:33:50.41-0700`: local time with hundredths, as log lines and event tables show it. */
export function formatTimestamp(moment: Date): string {
  const offset = -moment.getTimezoneOffset();
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`;
  const date = `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
  const time = `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}`;
  return `${date}T${time}.${two(Math.floor(moment.getMilliseconds() / 10))}${zone}`;
}

function two(n: number): string {
  return String(n).padStart(2, '0');
}
