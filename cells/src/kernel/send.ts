import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { isMissing } from './durable.js';

const SIGNAL_NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

/** Name of a signal; of real-time signals, which Node has no names for, the number. */
export function signalName(number: number): string {
  return SIGNAL_NAMES.get(number) ?? String(number);
}

/** Sends a signal; fine when nobody is there any more. */
export function send(pid: number, signal: NodeJS.Signals): void {
  assert(pid !== 0, 'a signal to 0 is one to this program and all that it was started with');
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** Sends a signal to a program that leads a process group, and to whatever it started there. */
export function sendToGroup(leader: number, signal: NodeJS.Signals): void {
  send(-leader, signal);
}
