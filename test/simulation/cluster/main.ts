import { availableParallelism } from 'node:os';
import { Writable } from 'node:stream';
import { parseArgs } from 'node:util';
import { createLogger } from '@rivera/kit/log';
import { runHistory } from './history.js';
import { runMany } from './pool.js';
import { commandFor, coverageTable, failureText, progressText } from './report.js';
import { countImmediates } from './virtual-time.js';

const USAGE = `usage: npm run simulate -- --seeds N [--from SEED] [--steps M] [--verbose] [--json]

Runs histories of a simulated cluster, each driven by one seed, and checks after every step what must hold.

  --seeds N     histories to run
  --from SEED   first seed; default 1
  --steps M     commands and faults in each before it heals; default 12
  --verbose     one process, every line of every transcript, and what the product would log
  --json        one object at the end, for programs
  --help        this text

examples
  npm run simulate -- --seeds 10000
  npm run simulate -- --seeds 10 --steps 3000 --from 500
  npm run simulate -- --from 4711 --seeds 1 --verbose     see one history again

exit codes: 0 all held, 1 an invariant was broken, 3 the command line is wrong
`;

const PROGRESS_EVERY_MS = 2_000;
const SHORT_STEPS = 12;

interface Options {
  readonly seeds: number;
  readonly from: number;
  readonly steps: number;
  readonly verbose: boolean;
  readonly json: boolean;
}

/** @throws Error that says what is wrong with the command line */
function optionsOf(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: 'string' },
      from: { type: 'string' },
      steps: { type: 'string' },
      verbose: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  if (values.seeds === undefined) throw new Error('--seeds says how many histories to run');
  const number = (name: string, text: string | undefined, otherwise: number, least: number) => {
    const value = text === undefined ? otherwise : Number(text);
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw new Error(`--${name} is a whole number of at least ${least}, not ${text}`);
  };
  return {
    seeds: number('seeds', values.seeds, 1, 1),
    from: number('from', values.from, 1, 0),
    steps: number('steps', values.steps, SHORT_STEPS, 1),
    verbose: values.verbose,
    json: values.json,
  };
}

async function simulate({ seeds, from, steps, json }: Options): Promise<number> {
  const began = performance.now();
  let toldAt = began;
  const { coverage, failed } = await runMany({
    from,
    seeds,
    steps,
    processes: availableParallelism(),
    onProgress: (soFar) => {
      if (json || performance.now() - toldAt < PROGRESS_EVERY_MS) return;
      toldAt = performance.now();
      process.stderr.write(`${progressText(soFar, { seeds, elapsedMs: toldAt - began })}\n`);
    },
  });
  const elapsedMs = Math.round(performance.now() - began);
  if (json) {
    const violations = failed.map(({ seed, violation }) => ({ seed, ...violation, command: commandFor(seed, steps) }));
    process.stdout.write(
      `${JSON.stringify({ from, seeds, stepsOfEach: steps, elapsedMs, ...coverage, violations })}\n`,
    );
  } else {
    for (const report of failed) process.stdout.write(`${failureText(report, steps)}\n\n`);
    process.stdout.write(`${progressText(coverage, { seeds, elapsedMs })}\n${coverageTable(coverage)}\n`);
    if (failed.length === 0) process.stdout.write('every invariant held\n');
  }
  return failed.length === 0 ? 0 : 1;
}

/** In this process, one after the other, with all that can be seen. */
async function show({ seeds, from, steps }: Options): Promise<number> {
  countImmediates();
  const print = (line: string) => process.stdout.write(`${line}\n`);
  const destination = new Writable({
    write(chunk, _encoding, done) {
      const {
        level: _level,
        time: _time,
        pid: _pid,
        hostname: _hostname,
        name: _name,
        ...rest
      } = JSON.parse(String(chunk));
      print(`${' '.repeat(11)}log ${JSON.stringify(rest)}`);
      done();
    },
  });
  const log = createLogger({ name: 'simulation', level: 'info', destination });
  for (let seed = from; seed < from + seeds; seed++) {
    print(`seed ${seed}, ${steps} steps`);
    const report = await runHistory({ seed, steps, print, log });
    print(
      `${report.violation ? `\nbroken: ${report.violation.what}` : 'held'}; transcript ${report.digest.slice(0, 16)}`,
    );
    if (report.violation !== undefined) return 1;
  }
  return 0;
}

let options: Options | 'help';
try {
  options = optionsOf(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  process.exit(3);
}
if (options === 'help') {
  process.stdout.write(USAGE);
  process.exit(0);
}
process.exit(await (options.verbose ? show(options) : simulate(options)));
