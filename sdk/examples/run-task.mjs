// Runs a command as a Task and prints what it wrote into its result file:
//   node run-task.mjs [COMMAND [ARG ...]]
// RIVERA_SERVERS, RIVERA_CA, RIVERA_CERT and RIVERA_KEY say where the servers are and who we are.
import { randomUUID } from 'node:crypto';
import { connect, run } from '@rivera/sdk';

const [path = '/bin/sh', ...args] = process.argv.slice(2);
const client = connect();
try {
  const taskGuid = `example-${randomUUID()}`;
  await client.tasks.desire({
    taskGuid,
    domain: 'examples',
    definition: {
      container: { rootFs: process.env.ROOT_FS ?? 'preloaded:busybox', memoryMb: 32, diskMb: 32, logGuid: taskGuid },
      action: run({
        path,
        args: path === '/bin/sh' ? ['-c', 'echo "hello from $(hostname)" > /result'] : args,
        user: 'root',
      }),
      resultFile: path === '/bin/sh' ? '/result' : '',
    },
  });
  const task = await client.tasks.waitForCompletion(taskGuid, { timeoutMs: 60_000 });
  console.log(task.failed ? `failed: ${task.failureReason}` : `result: ${task.result.trimEnd()}`);
  process.exitCode = task.failed ? 1 : 0;

  // Whoever resolves a Task has its result alone; then it can be forgotten.
  await client.tasks.resolve(taskGuid);
  await client.tasks.delete(taskGuid);
} finally {
  client.close();
}
