import assert from 'node:assert/strict';
import { isMissing } from './durable.js';

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
