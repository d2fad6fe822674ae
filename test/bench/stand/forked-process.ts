import { readFileSync } from 'node:fs';

/** Settings that this process was started with. */
export function settings<T>(): T {
  const [, , file = ''] = process.argv;
  return JSON.parse(readFileSync(file, 'utf8')) as T;
}

/** Says something to the benchmark, the first time that it is ready. */
export function say(message: unknown): void {
  process.send?.(message);
}

/** Ends when it is told to, and with the benchmark. */
export function endWithParent(): void {
  for (const event of ['SIGTERM', 'disconnect'] as const) process.once(event, () => process.exit(0));
}
