import { inspect } from 'node:util';
import { type Request, requestOf, UsageError, usage } from './command-line.js';
import { printer } from './figures.js';
import { isInterrupted, unwindAll } from './stand/unwinding.js';

const EXIT_FAILED = 1;
const EXIT_USAGE = 3;
const EXIT_INTERRUPTED = 130;

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // Who asks twice does not want to wait for the clearing up: the next run does it.
    if (isInterrupted()) process.exit(EXIT_INTERRUPTED);
    endWith(EXIT_INTERRUPTED);
  });
}
// Also when whoever reads the figures has stopped reading. What fails behind the first failure fails because of it.
process.on('uncaughtException', (error) => {
  if (isInterrupted()) return;
  process.stderr.write(`${inspect(error)}\n`);
  endWith(EXIT_FAILED);
});

function endWith(code: number): void {
  void unwindAll().then(() => process.exit(code));
}

function request(): Request {
  try {
    return requestOf(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n${usage()}`);
    process.exit(EXIT_USAGE);
  }
}

const { benchmarks, sizes, json, help } = request();
if (help) process.stdout.write(usage());
else {
  for (const [name, { run }] of benchmarks) {
    await run(printer(name, json), sizes).catch((error: unknown) => {
      // What was being measured is gone because of the interrupt: that is no failure of its own.
      if (!isInterrupted()) throw error;
    });
    // The end is near, and comes when everything is undone.
    if (isInterrupted()) await new Promise(() => undefined);
  }
}
// Connections of gRPC may linger; what was measured has been printed.
process.exit(0);
