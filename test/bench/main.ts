import { parseArgs } from 'node:util';
import { auction } from './auction.js';
import { containerStart } from './container-start.js';
import { desire } from './desire.js';
import { printer, type Report } from './figures.js';
import { memory } from './memory.js';
import { taskLatency } from './task-latency.js';
import { transitions } from './transitions.js';

interface Options {
  readonly lrps: number | undefined;
  readonly count: number | undefined;
}

const BENCHMARKS: Record<string, (report: Report, options: Options) => Promise<void>> = {
  transitions: (report, { lrps = 50_000 }) => transitions(report, { lrps }),
  desire: (report, { lrps = 20_000 }) => desire(report, { lrps }),
  'task-latency': (report, { count = 60 }) => taskLatency(report, { tasks: count }),
  'container-start': (report, { count = 40 }) => containerStart(report, { containers: count }),
  auction: (report) => auction(report),
  memory: (report, { lrps = 50_000 }) => memory(report, { lrps }),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false }, lrps: { type: 'string' }, count: { type: 'string' } },
});
const names = positionals.length > 0 ? positionals : [''];
for (const name of names) {
  const benchmark = BENCHMARKS[name];
  if (benchmark === undefined) {
    process.stderr.write(
      `usage: npm run bench -- NAME… [--json] [--lrps N] [--count N]\nnames: ${Object.keys(BENCHMARKS).join(', ')}\n`,
    );
    process.exit(3);
  }
  const number = (text: string | undefined) => (text === undefined ? undefined : Number(text));
  await benchmark(printer(values.json), { lrps: number(values.lrps), count: number(values.count) });
}
// Connections of gRPC may linger; what was measured has been printed.
process.exit(0);
