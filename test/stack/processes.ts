import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { commandLine } from '@rivera/cells/kernel/proc';

/** Processes of this machine, those in containers included. */
export function allPids(): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

/** A file of a process, such as `status`; empty where the process is gone. */
export function procFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return '';
  }
}

/** Where a link of a process leads to, such as `cwd`; empty where the process is gone. */
export function procLink(pid: number, name: string): string {
  try {
    return readlinkSync(`/proc/${pid}/${name}`);
  } catch {
    return '';
  }
}

/** Processes whose command line is this. */
export function pidsOf(...words: string[]): number[] {
  return allPids().filter((pid) => commandLine(pid).join('\0') === words.join('\0'));
}

/** Supervisors of processes in the containers that are below a folder. */
export function supervisorsBelow(folder: string): number[] {
  return allPids().filter((pid) => {
    const [program, ...words] = commandLine(pid);
    return program === 'conmon' && words.some((word) => word.startsWith(`${folder}/`));
  });
}
