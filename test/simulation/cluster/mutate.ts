import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MUTATIONS, type Mutation } from './mutations.js';
import { runMany } from './pool.js';

const USAGE = `usage: npm run mutate -- [--seeds N] [--steps M] [--only TEXT]

Breaks the product in one place after the other, in a copy, and has the simulator find each of them.

  --seeds N    most histories for each; default 5000
  --steps M    commands and faults in each history; default 16
  --only TEXT  mutations with this in their file or description
  --help       this text

example
  npm run mutate -- --only task.ts

exit codes: 0 all were found, 1 one was not, or its place is no longer there, 3 the command line is wrong
`;

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
/** What mutations are in, and what has to import the broken copy. The rest is used where it is. */
const COPIED = ['server', 'cells', 'test'];
const LINKED = ['gen', 'kit', 'sdk', 'cli'];

/** A copy of the sources that goes with the process, however that ends. */
class ScratchCopy {
  readonly folder = mkdtempSync(join(tmpdir(), 'rivera-mutate-'));

  constructor() {
    process.once('exit', () => this.remove());
    for (const [signal, number] of [
      ['SIGINT', 2],
      ['SIGTERM', 15],
      ['SIGHUP', 1],
    ] as const) {
      process.once(signal, () => process.exit(128 + number));
    }
  }

  async fill(): Promise<void> {
    for (const name of COPIED) {
      await cp(join(ROOT, name), join(this.folder, name), {
        recursive: true,
        filter: (path) => !/\/(node_modules|dist)$/.test(path),
      });
    }
    const modules = join(this.folder, 'node_modules');
    mkdirSync(join(modules, '@rivera'), { recursive: true });
    for (const name of readdirSync(join(ROOT, 'node_modules'))) {
      if (name !== '@rivera') symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
    }
    for (const name of COPIED) symlinkSync(join(this.folder, name), join(modules, '@rivera', name));
    for (const name of LINKED) symlinkSync(join(ROOT, name), join(modules, '@rivera', name));
  }

  /** @returns how to mend it again, or why it can't be broken there */
  break({ file, find, replace }: Mutation): (() => void) | string {
    const path = join(this.folder, file);
    const whole = readFileSync(path, 'utf8');
    const parts = whole.split(find);
    if (parts.length !== 2) return `its text stands ${parts.length - 1} times in ${file}, not once`;
    writeFileSync(path, parts.join(replace));
    return () => writeFileSync(path, whole);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

interface Options {
  readonly seeds: number;
  readonly steps: number;
  readonly only: string;
}

/** @throws Error that says what is wrong with the command line */
function optionsOf(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: 'string', default: '5000' },
      steps: { type: 'string', default: '16' },
      only: { type: 'string', default: '' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const [seeds, steps] = [Number(values.seeds), Number(values.steps)];
  if (!(seeds >= 1 && steps >= 1)) throw new Error('--seeds and --steps are numbers of at least 1');
  return { seeds, steps, only: values.only };
}

/** @returns how many were not found */
async function mutate({ seeds, steps, only }: Options): Promise<number> {
  const chosen = MUTATIONS.filter(({ file, breaks }) => `${file} ${breaks}`.includes(only));
  const copy = new ScratchCopy();
  await copy.fill();
  const workerFile = join(copy.folder, 'test/simulation/cluster/worker.ts');
  let missed = 0;
  for (const [i, mutation] of chosen.entries()) {
    const mend = copy.break(mutation);
    const name = `${String(i + 1).padStart(2)}/${chosen.length} ${mutation.file}: ${mutation.breaks}`;
    if (typeof mend === 'string') {
      missed++;
      process.stdout.write(`GONE   ${name}\n         ${mend}\n`);
      continue;
    }
    const { failed, coverage } = await runMany({
      from: 1,
      seeds,
      steps,
      processes: availableParallelism(),
      workerFile,
    });
    mend();
    const [first] = failed;
    if (first?.violation === undefined) {
      missed++;
      process.stdout.write(`MISSED ${name}\n         in ${coverage.histories} histories\n`);
    } else {
      const what = first.violation.what.split('\n')[0]?.slice(0, 140);
      process.stdout.write(
        `found  ${name}\n         seed ${first.seed}, after ${coverage.histories} histories: ${what}\n`,
      );
    }
  }
  process.stdout.write(`${chosen.length - missed} of ${chosen.length} mutations were found\n`);
  return missed;
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
process.exit((await mutate(options)) === 0 ? 0 : 1);
