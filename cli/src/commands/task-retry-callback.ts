import { Task } from '@rivera/gen/rivera/bbs/v1/task';
import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import type { Io } from '../io.js';
import { withSuggestion } from './names.js';

/** `rivera task retry-callback`: has completion callbacks tried at once, also those that were given up. */
export function addRetryCallback(task: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    task
      .command('retry-callback')
      .argument('<name...>', 'of the tasks')
      .description('tell at once that tasks have ended, also when that was given up'),
  );
  examples(
    command,
    ['rivera task retry-callback nightly', 'at once, and again for as long as a fresh one'],
    ['rivera task list --dead-letters --json | jq -r .taskGuid | xargs rivera task retry-callback', 'all of them'],
  );
  perform(command, io, outcome, async (session, names) => {
    for (const name of names) {
      const retried = await withSuggestion(session, 'task', name, (client) =>
        client.tasks.retryCallback(name, { signal: session.signal }),
      );
      if (session.out.json) await session.out.line(Task.toJSON(retried));
    }
    return undefined;
  });
}
