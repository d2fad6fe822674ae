import { runToEnd } from '../../../kernel/command.js';
import { hybridMount } from '../cgroups/cgroup.js';
import { findProgram, type Runtime } from './runtime.js';
import { whyUnusable } from './self-test.js';

/** Best first: crun takes half of runc's time. */
const PREFERRED = ['crun', 'runc'];

/** Older ones have not been tried. */
const LEAST_VERSIONS: Record<string, readonly number[]> = { crun: [1, 8], runc: [1, 1] };

/** A runtime, or none. */
export interface RuntimeChoice {
  runtime: Runtime | undefined;
  /** Which one, or what is wrong with each; for people. */
  found: string;
}

/** The runtime to use on this machine, by having it run a container: one that is named, by name or path, or with `auto` the best. */
export async function chooseRuntime(wanted: string): Promise<RuntimeChoice> {
  const passedOver: string[] = [];
  for (const name of wanted === 'auto' ? PREFERRED : [wanted]) {
    const { runtime, found } = await tryRuntime(findProgram(name));
    if (runtime) return { runtime, found: [found, ...passedOver].join('; ') };
    passedOver.push(found);
  }
  return { runtime: undefined, found: passedOver.join('; ') };
}

async function tryRuntime(path: string): Promise<RuntimeChoice> {
  const version = await runToEnd(path, ['--version']);
  if (version.code === 127) return { runtime: undefined, found: `${path.split('/').at(-1)} is not installed` };
  if (version.code !== 0) return { runtime: undefined, found: `${path}: ${version.stderr.trim().slice(-300)}` };
  const [title = path, name = '', major, minor] = /^(\S+) version (\d+)\.(\d+)\S*/m.exec(version.stdout) ?? [];
  const least = LEAST_VERSIONS[name];
  if (least && !isAtLeast([Number(major), Number(minor)], least))
    return { runtime: undefined, found: `${title} is older than ${least.join('.')}` };
  let reason: string | undefined;
  for (const hidden of waysOfHiding()) {
    reason = await whyUnusable({ name, path, hidden });
    if (reason === undefined) return { runtime: { name, path, hidden }, found: `${title}, self-test passed` };
  }
  return { runtime: undefined, found: `${title}, but it could not run a container: ${reason}` };
}

/** crun makes no container on a machine that has both versions of control groups and controllers in the second. */
function waysOfHiding(): string[][] {
  const mount = hybridMount();
  return mount === undefined ? [[]] : [[], [mount]];
}

/** Compares versions by their first differing number. */
export function isAtLeast(version: readonly number[], least: readonly number[]): boolean {
  for (const [index, wanted] of least.entries()) {
    const has = version[index] ?? 0;
    if (has !== wanted) return has > wanted;
  }
  return true;
}
