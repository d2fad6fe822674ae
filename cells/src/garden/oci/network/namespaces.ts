import { run } from '../../../kernel/command.js';
import { namesIn } from '../../../kernel/durable.js';
import { mountsBelow } from '../../../kernel/mounts.js';
import { NETNS_DIR } from '../places.js';

/**
 * Has `ip` make the folder of named namespaces what it wants it to be, a mount that is shared. It does so when it makes its first,
 * over all that was mounted there without it, which could not be taken away any more.
 */
export async function prepareNamespaceFolder(): Promise<void> {
  if ((await mountsBelow(NETNS_DIR)).includes(NETNS_DIR)) return;
  const name = `rivera-first-${process.pid}`;
  await run('ip', ['netns', 'add', name]);
  await run('ip', ['netns', 'del', name]);
}

/** Network namespaces of the machine, by name. */
export async function namespaces(): Promise<string[]> {
  return namesIn(NETNS_DIR);
}
