import type { Command } from 'commander';
import { type Outcome, perform, withOutput } from '../command-line.js';
import type { Io } from '../io.js';
import { VERSION } from '../version.js';

/** `rivera version`. */
export function addVersion(program: Command, io: Io, outcome: Outcome): void {
  const command = withOutput(program.command('version').description('print the version'));
  perform(command, io, outcome, async ({ out }) => {
    if (out.json) await out.line({ version: VERSION, node: process.version });
    else await out.data(`rivera ${VERSION} (Node.js ${process.version})\n`);
    return undefined;
  });
}
