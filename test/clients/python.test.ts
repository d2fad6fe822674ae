import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ROOT } from '../stack/program.js';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';

const run = promisify(execFile);
/** Debian's own, which has Debian's grpcio. */
const PYTHON = '/usr/bin/python3';

let stack: Stack;
let generated: string;

beforeAll(async () => {
  generated = mkdtempSync(join(tmpdir(), 'rivera-python-'));
  stack = await Stack.start({ cells: 0 });
  const client = await stack.client();
  await until('the server leads', () => client.domains.upsert('first').then(() => true));
}, 120_000);
afterAll(async () => {
  await stack?.close();
  await rm(generated, { recursive: true, force: true });
}, 60_000);

it('a client generated for Python from the same protos talks to the server', async () => {
  const protos = readdirSync(join(ROOT, 'proto'), { recursive: true, encoding: 'utf8' }).filter((file) =>
    /^rivera\/.*\.proto$/.test(file),
  );
  const plugin = '--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin';
  await run(
    'protoc',
    ['-I', 'proto', plugin, `--python_out=${generated}`, `--grpc_python_out=${generated}`, ...protos],
    { cwd: ROOT },
  );
  const env = await stack.cliEnvironment();
  const script = join(ROOT, 'test/clients/python/client.py');
  const args = [script, stack.addresses[0] ?? '', env.RIVERA_CA ?? '', env.RIVERA_CERT ?? '', env.RIVERA_KEY ?? ''];
  const { stdout } = await run(PYTHON, args, {
    env: { PATH: '/usr/bin:/bin', PYTHONPATH: generated },
    timeout: 60_000,
  });
  expect(JSON.parse(stdout)).toEqual({
    state: 'TASK_STATE_PENDING',
    lrps: ['from-python'],
    error: 'NOT_FOUND',
    records: ['desired_lrp', 'task'],
  });
});
