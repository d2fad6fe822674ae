import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { CliError } from '../failures.js';
import { readDocument } from './document.js';
import { lrpFrom } from './lrp-spec.js';
import { taskRequest } from './task-spec.js';

const spec = (yaml: string) => ({ document: parse(yaml) as unknown, source: 'spec.yaml' });

function refusal(run: () => unknown): CliError {
  try {
    run();
  } catch (error) {
    if (error instanceof CliError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

const TASK = `
task_guid: nightly
domain: reports
container:
  rootFs: preloaded:debian
  memoryMb: 512
  environmentVariables:
    - { name: REGION, value: eu }
    - { name: LEVEL, value: low }
action:
  timeoutAction:
    timeout: 5m
    action:
      runAction: { path: /bin/report, args: [--all], user: root }
resultFile: /tmp/result
`;

describe('a task from flags', () => {
  it('runs the command with what a small task needs', () => {
    const request = taskRequest({}, ['sh', '-c', 'echo hi'], undefined, {}, () => 'task-1');
    expect(request).toMatchObject({
      taskGuid: 'task-1',
      domain: 'cli',
      definition: {
        container: { rootFs: 'preloaded:busybox', memoryMb: 64, diskMb: 256, logGuid: 'task-1', logSource: 'TASK' },
        action: { action: { $case: 'runAction', value: { path: 'sh', args: ['-c', 'echo hi'], user: 'root' } } },
      },
    });
  });

  it('has a name of its own each time', () => {
    const names = new Set(Array.from({ length: 50 }, () => taskRequest({}, ['true'], undefined, {}).taskGuid));
    expect(names.size).toBe(50);
    for (const name of names) expect(name).toMatch(/^task-[a-z0-9]{8}$/);
  });

  it('runs what an image runs, as its user, where nothing is said', () => {
    const actionOf = (command: string[], user?: string) =>
      taskRequest({ rootfs: 'docker:///tool', ...(user && { user }) }, command, undefined, {}).definition?.action
        ?.action?.value;
    expect(actionOf([])).toMatchObject({ path: '', args: [], user: '' });
    expect(actionOf(['tool', '-v'])).toMatchObject({ path: 'tool', args: ['-v'], user: '' });
    expect(actionOf([], 'web')).toMatchObject({ path: '', user: 'web' });
  });

  it('needs something to run', () => {
    expect(refusal(() => taskRequest({}, [], undefined, {})).message).toBe('nothing to run');
  });
});

describe('a task from a file', () => {
  it('is taken as it is written, in either spelling, with durations in words', () => {
    const request = taskRequest({}, [], spec(TASK), {});
    expect(request).toMatchObject({
      taskGuid: 'nightly',
      domain: 'reports',
      definition: {
        container: { rootFs: 'preloaded:debian', memoryMb: 512, diskMb: 0 },
        action: { action: { $case: 'timeoutAction', value: { timeout: { seconds: 300, nanos: 0 } } } },
        resultFile: '/tmp/result',
      },
    });
  });

  it('gives way to flags', () => {
    const request = taskRequest({ name: 'now', memory: 32, env: ['LEVEL=high'] }, ['true'], spec(TASK), {});
    expect(request.taskGuid).toBe('now');
    expect(request.definition?.container).toMatchObject({
      rootFs: 'preloaded:debian',
      memoryMb: 32,
      environmentVariables: [
        { name: 'REGION', value: 'eu' },
        { name: 'LEVEL', value: 'high' },
      ],
    });
    expect(request.definition?.action).toMatchObject({ action: { $case: 'runAction', value: { path: 'true' } } });
  });

  it('with a mistyped key is refused, with the key that was meant', () => {
    const failure = refusal(() => taskRequest({}, [], spec(TASK.replace('memoryMb', 'memroyMb')), {}));
    expect(failure.message).toBe("spec.yaml: unknown key 'container.memroyMb'");
    expect(failure.next).toEqual(["Did you mean 'memoryMb'?"]);
    const deep = refusal(() => taskRequest({}, [], spec(TASK.replace('args:', 'arguments:')), {}));
    expect(deep.message).toContain('action.timeoutAction.action.runAction.arguments');
  });

  it('must be an object with sensible values', () => {
    expect(refusal(() => taskRequest({}, [], spec('- a'), {})).message).toContain('must hold one object');
    expect(refusal(() => taskRequest({}, [], spec(TASK.replace('5m', 'soon')), {})).message).toContain('soon');
  });
});

describe('an LRP', () => {
  it('from flags maps its ports and waits for the first to accept', () => {
    const lrp = lrpFrom('web', { port: [8080, 9090], instances: 2 }, ['server'], undefined, {});
    expect(lrp).toMatchObject({
      processGuid: 'web',
      instances: 2,
      ports: [8080, 9090],
      container: { logGuid: 'web', logSource: 'APP' },
      startTimeout: { seconds: 60, nanos: 0 },
    });
    expect(lrp.checkDefinition?.checks[0]?.probe).toMatchObject({ $case: 'tcpCheck', value: { port: 8080 } });
  });

  it('without ports has no check', () => {
    expect(lrpFrom('worker', {}, ['work'], undefined, {}).checkDefinition).toBeUndefined();
    expect(lrpFrom('web', { port: [80], check: 'none' }, ['x'], undefined, {}).checkDefinition).toBeUndefined();
  });

  it('asks over HTTP when told to', () => {
    const lrp = lrpFrom('web', { port: [8080], check: 'http:/up' }, ['server'], undefined, {});
    expect(lrp.checkDefinition?.checks[0]?.probe).toMatchObject({
      $case: 'httpCheck',
      value: { port: 8080, path: '/up' },
    });
  });

  it('from a file keeps the file’s checks', () => {
    const file = spec(`
processGuid: web
ports: [8080]
action: { runAction: { path: server, user: root } }
checkDefinition: { checks: [{ httpCheck: { port: 8080, path: /up }, interval: 5s }] }
startTimeout: 10s
`);
    const lrp = lrpFrom(undefined, {}, [], file, {});
    expect(lrp.processGuid).toBe('web');
    expect(lrp.instances).toBe(1);
    expect(lrp.startTimeout).toMatchObject({ seconds: 10 });
    expect(lrp.checkDefinition?.checks[0]).toMatchObject({ interval: { seconds: 5 } });
  });

  it('may want no instance at all', () => {
    const file = spec('{ processGuid: web, instances: 0, action: { runAction: { path: x, user: root } } }');
    expect(lrpFrom(undefined, {}, [], file, {}).instances).toBe(0);
    expect(lrpFrom(undefined, { instances: 2 }, [], file, {}).instances).toBe(2);
  });

  it('needs a name', () => {
    expect(refusal(() => lrpFrom(undefined, {}, ['x'], undefined, {})).message).toBe('the LRP has no name');
  });
});

describe('a spec', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rivera-spec-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('comes from a file or from standard input, as YAML or JSON', async () => {
    writeFileSync(join(folder, 'a.yaml'), 'domain: x');
    const stdin = () => Readable.from([Buffer.from('{"domain":"y"}')]);
    expect(await readDocument('a.yaml', { cwd: folder, stdin: stdin() })).toEqual({ domain: 'x' });
    expect(await readDocument('-', { cwd: folder, stdin: stdin() })).toEqual({ domain: 'y' });
  });

  it('that is missing or broken is a usage error', async () => {
    const from = { cwd: folder, stdin: Readable.from([]) };
    await expect(readDocument('none.yaml', from)).rejects.toThrow(/can't be read/);
    writeFileSync(join(folder, 'b.yaml'), 'a: [');
    await expect(readDocument('b.yaml', from)).rejects.toThrow(/b\.yaml is not YAML/);
  });
});
