import type { Command } from 'commander';
import { parseCount, parseMegabytes } from '../recipe/quantities.js';
import { DEFAULTS } from '../recipe/work.js';

/** Collects the values of an option that may be repeated. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** Options that say what container work gets. */
export function withWork(command: Command): Command {
  return command
    .option('-f, --file <spec>', 'spec in YAML or JSON, - for standard input; other options win over it')
    .option('--rootfs <url>', `root filesystem (default ${DEFAULTS.rootFs})`)
    .option('-m, --memory <size>', `memory limit, e.g. 64M or 1G (default ${DEFAULTS.memoryMb}M)`, (text: string) =>
      parseMegabytes(text),
    )
    .option('-k, --disk <size>', `disk limit (default ${DEFAULTS.diskMb}M)`, (text: string) => parseMegabytes(text))
    .option(
      '--pids <n>',
      `limit of processes (default ${DEFAULTS.maxPids}, 0: none)`,
      parseCount('--pids', 0, 1_000_000),
    )
    .option('-e, --env <name=value>', 'environment variable; repeatable', collect)
    .option('-u, --user <user>', `user that the command runs as (default ${DEFAULTS.user})`)
    .option('--dir <path>', 'working directory')
    .option('--domain <domain>', `domain it belongs to (default ${DEFAULTS.domain})`)
    .option('--annotation <text>', 'opaque text kept with it');
}
