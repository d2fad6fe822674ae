import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RunAction } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import type { InstanceIssuer } from '@rivera/kit/tls/instance-issuer';
import { afterEach, expect, it } from 'vitest';
import { GardenError } from '../../garden/garden.js';
import type { RunRequest } from '../executor.js';
import { act, codependent, portChecks, run, serial, TestCell, timeout } from '../testing.js';

/** A way to fail, and what is said of it (spec cell §27, with the create pipeline of §18). */
interface Reason {
  name: string;
  recipe?: Partial<RunRequest>;
  /** Before anything is reserved. */
  before?: (cell: TestCell) => unknown;
  /** Once it runs, or at once when it never does. */
  meanwhile?: (cell: TestCell) => unknown;
  outcome: string | RegExp;
}

const spec = (more: object) => ContainerSpec.fromPartial({ rootFs: 'preloaded:busybox', ...more });
const file = (path: string) => ({ path, content: Buffer.from('x') });
const failing = (kind: 'image-failed' | 'create-failed', final: boolean) => (cell: TestCell) => {
  cell.garden.create = async () => {
    throw new GardenError(kind, 'because', { final });
  };
};
const running = (work: (cell: TestCell) => unknown) => async (cell: TestCell) => {
  await cell.reaches('c', 'running');
  await work(cell);
};

const REASONS: Reason[] = [
  {
    name: 'a container that could not be made is tried elsewhere',
    before: failing('create-failed', false),
    outcome: 'failed, retryable: failed to create container: because',
  },
  {
    name: 'unless no other attempt would help',
    before: failing('image-failed', true),
    outcome: 'failed: failed to create container: because',
  },
  {
    name: 'what this cell does not have, another may',
    recipe: { container: spec({ privileged: true }) },
    outcome: 'failed, retryable: failed to create container: privileged container creation is disabled',
  },
  {
    name: 'dependencies that can not be had',
    recipe: { container: spec({ cachedDependencies: [{ name: '', from: 'http://x', to: '/x', cacheKey: '' }] }) },
    outcome: 'failed, retryable: failed to download cached artifacts',
  },
  {
    name: 'files that the definition names wrongly',
    recipe: { container: spec({ volumeMountedFiles: [file('../x')] }) },
    outcome: /^failed: failed to create volume mounted files: .*format is: \/serviceName\/fileName$/,
  },
  {
    name: 'a certificate that has no place',
    before: async (cell) => {
      cell.issuer = {} as InstanceIssuer;
      await cell.restart();
      await rm(join(cell.directory, 'credentials'), { recursive: true });
      await writeFile(join(cell.directory, 'credentials'), '');
    },
    outcome: 'failed, retryable: failed to create credentials directory',
  },
  {
    name: 'a certificate that could not be made',
    before: async (cell) => {
      const issue = () => Promise.reject(new Error('no key'));
      cell.issuer = { issue } as unknown as InstanceIssuer;
      await cell.restart();
    },
    outcome: 'failed: cred-manager-runner exited: no key',
  },
  {
    name: 'a container that the garden lost',
    recipe: { action: run('/sim/run') },
    meanwhile: running(async (cell) => {
      cell.garden.lookup = () => undefined;
      await cell.clock.advance(61_000);
    }),
    outcome: 'failed: missing garden container',
  },
  { name: 'a clean exit', recipe: { action: run('/sim/exit', 0) }, outcome: 'succeeded: ' },
  { name: 'an exit', recipe: { action: run('/sim/exit', 3) }, outcome: 'failed: APP: Exited with status 3' },
  {
    name: 'an exit under a source of its own',
    recipe: {
      action: act('runAction', RunAction.fromPartial({ path: '/sim/exit', args: ['137'], logSource: 'STG' })),
    },
    outcome: 'failed: STG: Exited with status 137',
  },
  {
    name: 'a program that is not there',
    recipe: { action: run('/sim/missing') },
    outcome: 'failed: exec: "/sim/missing": no such file or directory',
  },
  {
    name: 'no program at all',
    recipe: { action: run('') },
    outcome: 'failed: the action names no program, and the root filesystem has no entry point',
  },
  {
    name: 'an empty action',
    recipe: { action: serial() },
    outcome: 'failed: container cannot have empty action',
  },
  {
    name: 'a timeout',
    recipe: { action: timeout(500, run('/sim/run')) },
    meanwhile: (cell) => cell.clock.advance(1000),
    outcome: 'failed: exceeded 500ms timeout',
  },
  {
    name: 'codependents',
    recipe: { action: codependent(run('/sim/exit', 0), run('/sim/run')) },
    outcome: 'failed: Codependent step exited',
  },
  {
    name: 'a port that never answers',
    recipe: { action: run('/sim/run'), checkDefinition: portChecks([8080]), startTimeoutMs: 2000 },
    meanwhile: (cell) => cell.clock.advance(10_000),
    outcome:
      /^failed: Instance never healthy after 2(\.\d+)?s: Timed out after 2s \(\d+ attempts\) waiting for startup/,
  },
  {
    name: 'one that was told to end and did',
    recipe: { action: run('/sim/run') },
    meanwhile: running((cell) => cell.executor.stop('c')),
    outcome: 'failed, stopped: cancelled',
  },
  {
    name: 'one that was told to end and did not',
    recipe: { action: run('/sim/run', 60_000) },
    meanwhile: running(async (cell) => {
      await cell.executor.stop('c');
      await cell.clock.advance(12_000);
    }),
    outcome: 'failed, stopped: exceeded graceful shutdown interval',
  },
  {
    name: 'a reason of unbearable length',
    before: (cell) => {
      cell.garden.create = async () => {
        throw new GardenError('create-failed', 'x'.repeat(20_000));
      };
    },
    outcome: /^failed, retryable: failed to create container: x+\n\.\.\. \(truncated\)\nx+$/,
  },
];

let cell: TestCell;
afterEach(() => cell.close());

it.each(REASONS)('$name', async ({ recipe, before, meanwhile, outcome }) => {
  cell = await TestCell.open();
  cell.prober = { probe: async () => 'closed' };
  await before?.(cell);
  if (recipe?.checkDefinition) await cell.restart();
  await cell.run('c', { action: run('/sim/exit', 0), ...recipe });
  await meanwhile?.(cell);
  const ended = await cell.ends('c');
  if (typeof outcome === 'string') expect(ended).toBe(outcome);
  else expect(ended).toMatch(outcome);
});
