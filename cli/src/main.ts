import { homedir } from 'node:os';
import { EXIT } from './failures.js';
import { Interrupts } from './interrupts.js';
import { run } from './run.js';

const interrupts = new Interrupts();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  // The third signal ends the process, whatever it is doing.
  process.on(name, () => interrupts.deliver(name) > 2 && process.exit(interrupts.exitCode));
}
for (const stream of [process.stdout, process.stderr]) {
  // The reader has gone, as in `rivera lrp list | head -1`: it has what it wanted.
  stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.local));
}

const exitCode = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  home: homedir(),
  now: Date.now,
  interrupts,
});
// An open standard input must not keep the process, but what was written must arrive.
process.stdout.write('', () => process.stderr.write('', () => process.exit(exitCode)));
