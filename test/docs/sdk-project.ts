import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const SDK = resolve(import.meta.dirname, '../../sdk');

/**
 * Makes an empty project below a folder and installs the packed SDK into it, with its dependencies from the registry and nothing
 * of this repository in reach. Returns the project's folder.
 */
export async function projectWithSdk(folder: string): Promise<string> {
  const project = join(folder, 'project');
  await execute(process.execPath, [join(SDK, 'scripts/build-package.mjs'), '--out', join(folder, 'package')]);
  const packing = await execute('npm', ['pack', '--json', '--pack-destination', folder], {
    cwd: join(folder, 'package'),
  });
  const [{ filename }] = JSON.parse(packing.stdout);
  await mkdir(project);
  await writeFile(join(project, 'package.json'), '{ "name": "empty", "private": true }');
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  await execute('npm', ['install', '--prefix', project, ...quiet, join(folder, filename)], { cwd: project });
  return project;
}
