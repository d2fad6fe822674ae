import type { Command } from 'commander';
import { exitCodeHelp, type Outcome, rootCommand } from './command-line.js';
import { addAuction } from './commands/auction.js';
import { addCells } from './commands/cells.js';
import { addCert } from './commands/cert.js';
import { addCompletion } from './commands/completion.js';
import { addCp } from './commands/cp.js';
import { addDoctor } from './commands/doctor.js';
import { addDomains } from './commands/domains.js';
import { addEvents } from './commands/events.js';
import { addExec } from './commands/exec.js';
import { addExplain } from './commands/explain.js';
import { addLogs } from './commands/logs.js';
import { addLrp } from './commands/lrp.js';
import { addRebalance } from './commands/rebalance.js';
import { addRoles } from './commands/roles.js';
import { addRootFs } from './commands/rootfs.js';
import { addSsh } from './commands/ssh.js';
import { addSshKey } from './commands/ssh-key.js';
import { addTask } from './commands/task.js';
import { addUp } from './commands/up.js';
import { addVersion } from './commands/version.js';
import type { Io } from './io.js';
import { VERSION } from './version.js';

/** The whole command line. */
export function buildProgram(io: Io, outcome: Outcome): Command {
  const program = rootCommand(io)
    .description('Runs tasks and long-running processes in containers, on as many machines as there are.')
    .version(`rivera ${VERSION}`, '-V, --version', 'print the version');
  program.commandsGroup('Work:');
  addTask(program, io, outcome);
  addLrp(program, io, outcome);
  program.commandsGroup('Look inside:');
  addExplain(program, io, outcome);
  addLogs(program, io, outcome);
  addExec(program, io, outcome);
  addSsh(program, io, outcome);
  addSshKey(program, io, outcome);
  addCp(program, io, outcome);
  addEvents(program, io, outcome);
  addCells(program, io, outcome);
  addDomains(program, io, outcome);
  addAuction(program, io, outcome);
  addRebalance(program, io, outcome);
  program.commandsGroup('Run it:');
  addUp(program, io, outcome);
  addRoles(program, io, outcome);
  addRootFs(program, io, outcome);
  addCert(program, io, outcome);
  addDoctor(program, io, outcome);
  program.commandsGroup('This program:');
  addVersion(program, io, outcome);
  addCompletion(program, io, outcome);
  return program.addHelpText('after', exitCodeHelp());
}
