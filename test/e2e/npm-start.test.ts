import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { emptyCells } from '../stack/leftovers.js';
import { allPids, procFile, procLink } from '../stack/processes.js';
import { ROOT } from '../stack/program.js';
import { until } from '../stack/until.js';
import { get } from '../stack/work.js';

const run = promisify(execFile);
const PREFIX = 'rivera-clone-';
const folder = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
const clone = join(folder, 'rivera');
/** As at a user's shell: neither the test runner's nor another stack's settings. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(RIVERA_|VITEST|NODE_|npm_)/.test(name)),
) as NodeJS.ProcessEnv;

/** `npm start` in the clone, with what it has said so far. */
class Started {
  output = '';
  private readonly child: ChildProcess;
  private readonly exited: Promise<void>;
  private ended = false;

  constructor() {
    this.child = spawn('npm', ['start'], { cwd: clone, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (data: Buffer) => {
        this.output += data.toString();
      });
    }
    this.exited = new Promise((resolve) =>
      this.child.once('exit', () => {
        this.ended = true;
        resolve();
      }),
    );
  }

  /** The example's URL, once the start says that it answers. */
  async url(): Promise<string> {
    return until(
      'npm start shows the URL',
      () => {
        if (this.ended) throw new Error(`npm start ended early:\n${this.output}`);
        return /Rivera runs, and (http:\S+) answers/.exec(this.output)?.[1];
      },
      400_000,
    );
  }

  /** Ctrl-C, as a terminal sends it: to the whole group. */
  async interrupt(): Promise<void> {
    if (this.child.pid !== undefined && !this.ended) process.kill(-this.child.pid, 'SIGINT');
    await this.exited;
  }
}

let started: Started | undefined;

beforeAll(async () => {
  await sweep();
  await run('git', ['clone', '--quiet', ROOT, clone]);
}, 60_000);
afterAll(async () => {
  await started?.interrupt();
  await rm(folder, { recursive: true, force: true });
}, 120_000);

const rivera = async (...args: string[]) => {
  const { stdout } = await run('node', ['cli/dist/main.js', ...args], { cwd: clone, env });
  return stdout;
};

describe('npm start in a clean clone', () => {
  it('ends with an application that answers, and the next commands', async () => {
    started = new Started();
    const url = await started.url();
    expect(await get(url)).toMatch(/hello/i);
    expect(started.output).toContain('rivera lrp scale hello 3');
  }, 420_000);

  it('obeys the commands that it shows', async () => {
    await rivera('lrp', 'scale', 'hello', '3');
    const instances = (await rivera('lrp', 'show', 'hello', '--json')).trim();
    const running = instances.match(/"hostPort":\s*\d+/g) ?? [];
    expect(new Set(running).size).toBe(3);
    expect(await rivera('task', 'run', '--', 'echo', 'once')).toContain('once');
  }, 120_000);

  it('starts what dies again, and nothing of the application notices', async () => {
    const url = await started?.url();
    const before = await guids();
    for (const name of ['server', 'cell-1']) {
      const [program] = processesIn(join(clone, '.rivera/config', `${name}.yaml`));
      process.kill(Number(program?.split(' ')[0]), 'SIGKILL');
      expect(await get(url ?? '')).toMatch(/hello/i);
    }
    await until('both are back', async () => (await rivera('task', 'run', '--', 'echo', 'again')).includes('again'));
    expect(await guids()).toEqual(before);
  }, 120_000);

  it('leaves nothing running after Ctrl-C, and finds everything as it was at the next start', async () => {
    await started?.interrupt();
    expect(started?.output).toContain('Stopped.');
    expect(processesIn(clone)).toEqual([]);
    started = new Started();
    const url = await started.url();
    expect(await get(url)).toMatch(/hello/i);
    await until('all three run again', async () => (await guids()).length === 3);
    await started.interrupt();
    expect(processesIn(clone)).toEqual([]);
  }, 240_000);
});

async function guids(): Promise<string[]> {
  const shown = await rivera('lrp', 'show', 'hello', '--json');
  return [...shown.matchAll(/"instanceGuid":\s*"([^"]+)"/g)].map((match) => match[1] as string).sort();
}

/** Ends what a crashed run of this test left running, in order, and removes its folder. */
async function sweep(): Promise<void> {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(PREFIX))) {
    const [owner] = name.slice(PREFIX.length).split('-');
    if (existsSync(`/proc/${owner}`)) continue;
    const left = join(tmpdir(), name);
    for (const pid of supervisorsIn(left)) process.kill(pid, 'SIGINT');
    await until('the supervisor of a crashed run has ended', () => supervisorsIn(left).length === 0);
    // Its database, where the supervisor itself was killed.
    for (const program of processesIn(left)) process.kill(Number(program.split(' ')[0]), 'SIGTERM');
    await until('a crashed run has ended', () => processesIn(left).length === 0);
    await emptyCells(join(left, 'rivera/.rivera/config'));
    await rm(left, { recursive: true, force: true });
  }
}

/** `rivera up`, known by its working folder: its arguments name the data folder only from there. */
function supervisorsIn(path: string): number[] {
  return allPids()
    .filter((pid) => procLink(pid, 'cwd').startsWith(path))
    .filter((pid) => procFile(pid, 'cmdline').includes('main.js\0up\0'));
}

/** Processes that were started from the folder. */
function processesIn(path: string): string[] {
  return allPids()
    .map((pid) => `${pid} ${procFile(pid, 'cmdline').replaceAll('\0', ' ')}`)
    .filter((program) => program.includes(path));
}
