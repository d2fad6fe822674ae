import { formatAge, formatTimestamp } from '../terminal/time.js';

/** `45s` until a moment, for "in 45s"; a moment that is over is now. */
export function until(moment: Date, nowMs: number): string {
  const ms = moment.getTime() - nowMs;
  return ms < 1_000 ? 'now' : `in ${formatAge(ms)}`;
}

/** `3m` since a moment, for "for 3m". */
export function since(moment: Date | undefined, nowMs: number): string {
  return moment === undefined ? 'an unknown time' : formatAge(nowMs - moment.getTime());
}

/** `2026-05-01T11:57:00.00+0000 (3m ago)`. */
export function at(moment: Date | undefined, nowMs: number): string {
  return moment === undefined ? 'at an unknown time' : `${formatTimestamp(moment)} (${since(moment, nowMs)} ago)`;
}

/** Behind what is a sentence of somebody else's: `.`, unless it ends itself. */
export function sentence(text: string): string {
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}
