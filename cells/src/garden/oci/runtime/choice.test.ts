import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { cgroupDirectories, hybridMount } from '../cgroups/cgroup.js';
import { chooseRuntime, isAtLeast } from './choice.js';
import { findProgram } from './runtime.js';

let bin: string;

beforeAll(() => {
  bin = mkdtempSync(join(tmpdir(), 'rivera-choice-'));
});
afterEach(() => vi.unstubAllEnvs());
afterAll(() => rmSync(bin, { recursive: true, force: true }));

/** A program of this name comes first in the path. */
function layOut(name: string, script: string): void {
  writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(bin, name), 0o755);
  vi.stubEnv('PATH', `${bin}:${process.env.PATH}`);
}

it.each(['crun', 'runc'])('tries %s by having it run a container', async (name) => {
  const { runtime, found } = await chooseRuntime(name);
  expect(found).toMatch(new RegExp(`^${name} version .*, self-test passed$`));
  expect(runtime?.path).toBe(findProgram(name));
});

it('prefers crun, and hides from it only what it refuses', async () => {
  const { runtime } = await chooseRuntime('auto');
  expect(runtime?.path).toBe(findProgram('crun'));
  expect([[], [hybridMount()]]).toContainEqual(runtime?.hidden);
  expect((await chooseRuntime('runc')).runtime?.hidden).toEqual([]);
});

it('takes the next best where the best can run nothing, and says why', async () => {
  layOut('crun', 'case "$1" in --version) echo crun version 1.9 ;; *) echo out of order >&2; exit 1 ;; esac');
  const { runtime, found } = await chooseRuntime('auto');
  expect(runtime?.path).toBe(findProgram('runc'));
  expect(found).toMatch(/^runc version .*; crun version 1.9, but it could not run a container: out of order$/);
  expect(await chooseRuntime('crun')).toMatchObject({ runtime: undefined });
});

it('tries none that is too old, or not there', async () => {
  layOut('crun', 'echo crun version 1.7.2');
  expect(await chooseRuntime('crun')).toEqual({ runtime: undefined, found: 'crun version 1.7.2 is older than 1.8' });
  expect(await chooseRuntime('/no/such')).toEqual({ runtime: undefined, found: 'such is not installed' });
});

it('refuses one that gives /dev/null to containers, and takes it back', async () => {
  // As crun does it: to the user of the process that it is to run.
  const user = `sed -n 's/.*"uid":\\([0-9]*\\).*/\\1/p' "$5/config.json"`;
  const run = `[ "$3" = delete ] || chown "$(${user})" /dev/null`;
  layOut('crun', `case "$1" in --version) echo crun version 1.9 ;; *) ${run} ;; esac`);
  expect((await chooseRuntime('crun')).found).toContain('/dev/null');
  expect(statSync('/dev/null').uid).toBe(0);
});

it('holds against no runtime what another does meanwhile', async () => {
  // For somebody else's process, while this one is tried.
  layOut(
    'crun',
    'case "$1" in --version) echo crun version 1.9 ;; *) [ "$3" = delete ] || chown 2147418111 /dev/null ;; esac',
  );
  try {
    expect((await chooseRuntime('crun')).found).toBe('crun version 1.9, self-test passed');
  } finally {
    chownSync('/dev/null', 0, 0);
  }
});

it('leaves nothing behind', async () => {
  const calls = join(bin, 'calls');
  layOut('crun', `echo "$@" >>${calls}; exec ${findProgram('crun')} "$@"`);
  await chooseRuntime('crun');
  // Others may be trying at the same time.
  const own = new Set(readFileSync(calls, 'utf8').match(/rivera-probe-\w+/g));
  expect(own.size).toBeGreaterThan(0);
  const names = [
    ...cgroupDirectories('/rivera').flatMap((directory) => readdirSync(directory)),
    ...readdirSync(tmpdir()),
  ];
  expect(names.filter((name) => own.has(name))).toEqual([]);
});

it('compares versions number by number', () => {
  expect(isAtLeast([1, 1], [1, 1])).toBe(true);
  expect(isAtLeast([2, 0], [1, 1])).toBe(true);
  expect(isAtLeast([1, 0], [1, 1])).toBe(false);
  expect(isAtLeast([1, 10], [1, 9])).toBe(true);
});
