import { isMissing } from './durable.js';

/** Sends a signal; fine when nobody is there any more. */
export function send(pid: number, signal: NodeJS.Signals): void {
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
