import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { unary } from '../grpc/dial.js';
import type { ObservedCall } from '../grpc/observer.js';
import { EchoClient, TestBed } from '../grpc/test-bed.js';
import { createLogger, silentLogger } from '../log.js';
import { openAudit } from './audit.js';
import { subjectOf } from './subject.js';

let bed: TestBed;
let dir: string;
beforeEach(async () => {
  bed = await TestBed.create();
  dir = await mkdtemp(join(tmpdir(), 'rivera-audit-'));
});
afterEach(async () => {
  await bed.close();
  await rm(dir, { recursive: true });
});

function logLines(level = 'info') {
  const lines: Record<string, unknown>[] = [];
  const destination = new Writable({
    write(line, _, done) {
      lines.push(JSON.parse(String(line)));
      done();
    },
  });
  return { log: createLogger({ name: 'test', level, destination }), lines };
}

const CALL: ObservedCall = {
  method: '/rivera.bbs.v1.DesiredLrpService/DesireLrps',
  peer: { role: 'client', name: 'ada' },
  remoteAddress: '10.0.0.1:5',
  streaming: true,
  changing: true,
  admitted: true,
};

describe('a call that may change something', () => {
  test('is one line with who, from where, what, and how it ended, whatever level the log has', async () => {
    const { log, lines } = logLines('error');
    const { observers } = openAudit({ enabled: true, file: '' }, log);
    const { client } = await bed.echo({}, { observers });
    await unary(client, client.ask, 'hello');
    await expect.poll(() => lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      audit: true,
      time: expect.any(String),
      role: 'client',
      peer: 'ada',
      from: expect.stringMatching(/^127\.0\.0\.1:/),
      method: '/rivera.test.Echo/Ask',
      outcome: 'OK',
      ms: expect.any(Number),
    });
  });

  test('is written down when it was refused', async () => {
    const { log, lines } = logLines();
    const { observers } = openAudit({ enabled: true, file: '' }, log);
    const { port } = await bed.echo({}, { observers });
    const reader = bed.dial(EchoClient, port, await bed.identity('reader', 'eve'));
    await expect(unary(reader, reader.ask, 'hello')).rejects.toThrow();
    await expect.poll(() => lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ role: 'reader', peer: 'eve', outcome: 'PERMISSION_DENIED' });
  });

  test('is not, when it only reads', async () => {
    const { log, lines } = logLines();
    const { observers } = openAudit({ enabled: true, file: '' }, log);
    const { client, host } = await bed.echo({}, { observers, access: { default: ['client', 'reader'] } });
    await unary(client, client.ask, 'hello');
    await host.close();
    expect(lines).toEqual([]);
  });
});

test('a stream of numbered commands is a line for each, with its own outcome, and one for itself', () => {
  const { log, lines } = logLines();
  const [audit] = openAudit({ enabled: true, file: '' }, log).observers;
  const command = (sequence: number) => ({ sequence, desiredLrp: { processGuid: `p-${sequence}`, domain: 'd' } });
  for (const sequence of [1, 2, 3]) audit?.received?.(CALL, command(sequence));
  audit?.sent?.(CALL, { sequence: 1, code: 0, message: '' });
  audit?.sent?.(CALL, { sequence: 2, code: 6, message: 'exists' });
  audit?.ended?.(CALL, { code: 14, ms: 5 });
  expect(lines.map(({ processGuid, outcome, messages }) => ({ processGuid, outcome, messages }))).toEqual([
    { processGuid: 'p-1', outcome: 'OK', messages: undefined },
    { processGuid: 'p-2', outcome: 'ALREADY_EXISTS', messages: undefined },
    { processGuid: 'p-3', outcome: 'UNANSWERED', messages: undefined },
    { processGuid: undefined, outcome: 'UNAVAILABLE', messages: 3 },
  ]);
});

describe('a file of its own', () => {
  test('is appended to, and for its owner alone', async () => {
    const file = join(dir, 'audit.log');
    for (const peer of ['ada', 'eve']) {
      const audit = openAudit({ enabled: true, file }, silentLogger);
      audit.observers[0]?.ended?.({ ...CALL, peer: { role: 'client', name: peer } }, { code: 0, ms: 1 });
      audit.close();
    }
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).peer)).toEqual(['ada', 'eve']);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  test('has the lines of a turn as soon as the turn is over', async () => {
    const file = join(dir, 'audit.log');
    const audit = openAudit({ enabled: true, file }, silentLogger);
    try {
      for (let n = 0; n < 3; n++) audit.observers[0]?.ended?.(CALL, { code: 0, ms: 1 });
      await new Promise((resolve) => setImmediate(resolve));
      expect((await readFile(file, 'utf8')).trimEnd().split('\n')).toHaveLength(3);
    } finally {
      audit.close();
    }
  });

  test('that can not be opened stops the start', () => {
    expect(() => openAudit({ enabled: true, file: join(dir, 'no', 'audit.log') }, silentLogger)).toThrow('ENOENT');
  });
});

test('nobody listens when it is off', () => {
  expect(openAudit({ enabled: false, file: join(dir, 'audit.log') }, silentLogger).observers).toEqual([]);
});

describe('what a request is about', () => {
  test.each([
    [
      { taskGuid: 't', domain: 'd', definition: { action: {} } },
      { taskGuid: 't', domain: 'd' },
    ],
    [{ desiredLrp: { processGuid: 'p', domain: 'd' } }, { processGuid: 'p', domain: 'd' }],
    [
      { processGuid: 'p', index: 0, instanceGuid: '' },
      { processGuid: 'p', index: 0 },
    ],
    [{ domain: 'd', ttl: { seconds: 5, nanos: 0 } }, { domain: 'd' }],
    [
      { key: 'k', owner: 'o', value: 'hunter2', ttl: undefined },
      { lock: 'k', owner: 'o' },
    ],
    [{ message: { $case: 'hello', value: { presence: { cellId: 'c', zone: 'z' } } } }, { cellId: 'c', zone: 'z' }],
    [{ pageSize: 5 }, {}],
    ['text', {}],
    [undefined, {}],
  ])('%j: %j', (request, subject) => {
    expect(subjectOf(request)).toEqual(subject);
  });

  test('a command in a container is named without its arguments and environment', () => {
    const start = {
      target: { target: { $case: 'instance', value: { processGuid: 'p', index: 2, instanceGuid: '' } } },
      path: '/bin/sh',
      args: ['-c', 'hunter2'],
      env: ['PASSWORD=hunter2'],
      user: 'root',
    };
    const request = { input: { input: { $case: 'start', value: start } } };
    expect(subjectOf(request)).toEqual({ processGuid: 'p', index: 2, path: '/bin/sh', user: 'root' });
  });

  test('a process of the garden is named by its container, and nothing of what it runs', () => {
    const process = { id: 'p', path: '/bin/sh', args: ['hunter2'], env: ['key=hunter2'] };
    const request = { message: { $case: 'start', value: { handle: 'c1', process } } };
    expect(subjectOf(request)).toEqual({ handle: 'c1' });
  });

  test('is cut where it is too long', () => {
    expect(String(subjectOf({ taskGuid: 'x'.repeat(10_000) }).taskGuid)).toHaveLength(256);
  });
});
