import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { actAsRivera } from './testing/model.js';
import { Setting } from './testing/setting.js';

const SLOW_MS = 300_000;
const sdk = resolve(import.meta.dirname, '..');
const execute = promisify(execFile);

let setting: Setting;
let folder: string;
let project: string;

/** An empty project with the packed SDK installed from the registry's dependencies, and nothing of this repository in reach. */
beforeAll(async () => {
  setting = await Setting.make();
  folder = await mkdtemp(join(tmpdir(), 'rivera-sdk-package-'));
  project = join(folder, 'project');
  await execute(process.execPath, [join(sdk, 'scripts/build-package.mjs'), '--out', join(folder, 'package')]);
  const packing = await execute('npm', ['pack', '--json', '--pack-destination', folder], {
    cwd: join(folder, 'package'),
  });
  const [{ filename }] = JSON.parse(packing.stdout);
  await mkdir(project);
  await writeFile(join(project, 'package.json'), '{ "name": "empty", "private": true }');
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  await execute('npm', ['install', '--prefix', project, ...quiet, join(folder, filename)], { cwd: project });
  await cp(join(sdk, 'examples'), project, { recursive: true });
}, SLOW_MS);
afterEach(() => setting.endTest());
afterAll(async () => {
  await setting.end();
  await rm(folder, { recursive: true, force: true });
});

/** Runs a program of the project against a fake server; resolves with its lines. */
async function output(address: string, ...program: string[]): Promise<string[]> {
  const { caFile, certFile, keyFile } = setting.clientFiles;
  const env = { RIVERA_SERVERS: address, RIVERA_CA: caFile, RIVERA_CERT: certFile, RIVERA_KEY: keyFile };
  const run = execute(process.execPath, program, {
    cwd: project,
    env: { PATH: process.env.PATH, ...env },
    timeout: 30_000,
  });
  const { stdout, stderr } = await run;
  expect(stderr).toBe('');
  return stdout.trimEnd().split('\n');
}

describe('the installed package', () => {
  it('depends on grpc-js and the protobuf runtime, and on nothing else', async () => {
    const installed = join(project, 'node_modules/@rivera/sdk');
    const manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'));
    expect(Object.keys(manifest.dependencies)).toEqual(['@bufbuild/protobuf', '@grpc/grpc-js']);
    expect(manifest).not.toHaveProperty('peerDependencies');
    expect(await readdir(join(project, 'node_modules/@rivera'))).toEqual(['sdk']);
    expect((await readdir(installed)).sort()).toEqual(['LICENSE', 'README.md', 'cjs', 'esm', 'package.json']);
  });

  it('holds no trace of the repository it was built in', async () => {
    const installed = join(project, 'node_modules/@rivera/sdk');
    for (const file of await readdir(installed, { recursive: true, withFileTypes: true })) {
      if (!file.isFile()) continue;
      const text = await readFile(join(file.parentPath, file.name), 'utf8');
      expect(text.includes('@rivera/gen') || text.includes(resolve(sdk, '..')), file.name).toBe(false);
    }
  });
});

describe('the examples run in an empty project', () => {
  it('run-task.mjs', async () => {
    const server = await setting.server();
    const { tasks } = actAsRivera(server);
    expect(await output(server.address, 'run-task.mjs')).toEqual(['result: hello from c1']);
    expect(tasks.size).toBe(0);
  });

  it('run-lrp.mjs', async () => {
    const server = await setting.server();
    const { lrps } = actAsRivera(server);
    expect(await output(server.address, 'run-lrp.mjs', '2')).toEqual([
      '2 of 2 running',
      'instance 0: http://10.0.0.1:61000/hosts',
      'instance 1: http://10.0.0.1:61001/hosts',
    ]);
    expect(lrps.size).toBe(0);
  });

  it('watch.mjs', async () => {
    const server = await setting.server();
    actAsRivera(server);
    expect(await output(server.address, 'watch.mjs', '2')).toEqual(['snapshot-complete', '2 taskCreated']);
  });

  it('list.cjs', async () => {
    const server = await setting.server();
    actAsRivera(server);
    const client = setting.client(server);
    await client.tasks.desire({ taskGuid: 't', domain: 'd' });
    await client.desiredLrps.desire({ processGuid: 'web', instances: 2 });
    expect(await output(server.address, 'list.cjs')).toEqual([
      'cell c1 in z1: 2 instances',
      'lrp web: 2 of 2 running',
      'task t: COMPLETED',
    ]);
  });
});

describe('the README', () => {
  it('shows a program that runs', async () => {
    const server = await setting.server();
    actAsRivera(server);
    const readme = await readFile(join(sdk, 'README.md'), 'utf8');
    await writeFile(join(project, 'readme.mjs'), /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? '');
    expect(await output(server.address, 'readme.mjs')).toEqual(['hello from c1']);
  });
});

describe('programs of both module systems', () => {
  it('find the same classes at every entry', async () => {
    const server = await setting.server();
    const check = (load: string) => `
      const [index, client, errors, recipes, types] = [${['', '/client', '/errors', '/recipes', '/types']
        .map((entry) => `${load}('@rivera/sdk${entry}')`)
        .join(', ')}];
      for (const entry of [client, errors, recipes, types]) {
        const names = Object.keys(entry);
        if (names.length === 0) throw new Error('an entry is empty');
        for (const name of names) if (entry[name] !== index[name]) throw new Error(name + ' exists twice');
      }
      console.log('same');`;
    await writeFile(join(project, 'same.mjs'), check('await import'));
    await writeFile(join(project, 'same.cjs'), check('require'));
    expect(await output(server.address, 'same.mjs')).toEqual(['same']);
    expect(await output(server.address, 'same.cjs')).toEqual(['same']);
  });

  it(
    'are checked against the package’s types',
    async () => {
      const body = `
      export async function states(): Promise<TaskState[]> {
        const client: RiveraClient = connect({ servers: ['127.0.0.1:8889'], tls: { ca: '', cert: '', key: '' } });
        const action: Action = serial([run({ path: '/bin/true', user: 'root', env: { A: '1' } })]);
        await client.tasks.desire({ taskGuid: 't', domain: 'd', definition: { action, container: { memoryMb: 1 } } });
        const states: TaskState[] = [];
        for await (const task of client.tasks.list({ domain: 'd' })) states.push(task.state);
        for await (const item of client.watch({ kinds: [EventKind.TASK] })) if (item.kind === 'event') item.event.revision.toFixed();
        // @ts-expect-error a number is no guid
        await client.tasks.get(1).catch((error: RiveraError) => error.codeName);
        // @ts-expect-error there is no such member
        await client.tasks.desire({ taskguid: 't' });
        return states;
      }`;
      const names = 'type Action, connect, EventKind, type RiveraClient, type RiveraError, run, serial, TaskState';
      for (const extension of ['mts', 'cts']) {
        await writeFile(join(project, `consumer.${extension}`), `import { ${names} } from '@rivera/sdk';${body}`);
      }
      const types = resolve(sdk, '../node_modules/@types');
      const options = {
        strict: true,
        noEmit: true,
        module: 'nodenext',
        target: 'es2022',
        exactOptionalPropertyTypes: true,
      };
      await writeFile(
        join(project, 'tsconfig.json'),
        JSON.stringify({
          compilerOptions: { ...options, skipLibCheck: true, typeRoots: [types], types: ['node'] },
          files: ['consumer.mts', 'consumer.cts'],
        }),
      );
      const tsc = resolve(sdk, '../node_modules/typescript/bin/tsc');
      const checking = execute(process.execPath, [tsc, '-p', project]).catch((error) => ({
        stdout: String(error.stdout),
      }));
      expect((await checking).stdout).toBe('');
    },
    SLOW_MS,
  );
});
