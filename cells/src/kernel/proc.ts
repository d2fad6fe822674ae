import { readFileSync } from 'node:fs';
import { isMissing } from './durable.js';

/** What the kernel says of a process. */
export interface ProcessFacts {
  pid: number;
  state: string;
  parent: number;
  group: number;
  session: number;
  /** Clock ticks after boot; with the pid it names a process for ever. */
  startTime: number;
}

/** Facts of a process; undefined when there is none. */
export function processFacts(pid: number): ProcessFacts | undefined {
  const text = readProc(pid, 'stat');
  if (text === undefined) return undefined;
  // The command's name may hold blanks and brackets; the rest begins after the last bracket.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const number = (index: number) => Number(fields[index]);
  return {
    pid,
    state: fields[0] ?? '',
    parent: number(1),
    group: number(2),
    session: number(3),
    startTime: number(19),
  };
}

/** In the flags of a process: it is on its way out (PF_EXITING). */
const EXITING = 4;

/** Whether a process has begun to end; its children and those in its namespace may be dead already. */
export function isExiting(pid: number): boolean {
  const text = readProc(pid, 'stat');
  const flags = Number(text?.slice(text.lastIndexOf(')') + 2).split(' ')[6]);
  return (flags & EXITING) !== 0;
}

/** Whether a process runs, and isn't only waiting to be reaped. */
export function isAlive(pid: number, startTime?: number): boolean {
  const facts = processFacts(pid);
  return (
    facts !== undefined &&
    facts.state !== 'Z' &&
    facts.state !== 'X' &&
    (startTime === undefined || facts.startTime === startTime)
  );
}

/** Command line of a process, empty when there is none. */
export function commandLine(pid: number): string[] {
  return (readProc(pid, 'cmdline') ?? '').split('\0').slice(0, -1);
}

/** Names this run of the machine: what was running before it runs no more. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
