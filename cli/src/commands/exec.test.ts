import { PassThrough } from 'node:stream';
import { AccessServiceService as access, type ExecRequest } from '@rivera/gen/rivera/access/v1/access_service';
import { DesiredLrpServiceService as desiredLrps } from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import type { ExecOutput } from '@rivera/gen/rivera/rep/v1/container';
import { statusOf } from '@rivera/sdk/testing/fake-server';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { Interrupts } from '../interrupts.js';
import { lrp } from '../testing/fake-installation.js';
import { WithServer } from '../testing/with-server.js';

const NOT_FOUND = 5;

const fake = new WithServer();

describe('rivera exec', () => {
  /** A process that says what it was given, copies its input, and exits with 7. */
  function process() {
    const starts: unknown[] = [];
    fake.server.duplex(access.exec, (call) => {
      const say = (output: ExecOutput['output']) => void call.write({ output: { output } });
      return new Promise((resolve) => {
        const exit = () => {
          say({ $case: 'exit', value: { code: 7, signal: '' } });
          resolve();
        };
        call.on('data', ({ input }: ExecRequest) => {
          const said = input?.input;
          switch (said?.$case) {
            case 'start':
              starts.push(said.value);
              say({ $case: 'started', value: { containerGuid: 'c', cellId: 'cell-1' } });
              say({ $case: 'stderr', value: Buffer.from('to stderr\n') });
              break;
            case 'stdin':
              say({ $case: 'stdout', value: said.value });
              break;
            case 'signal':
              say({ $case: 'stdout', value: Buffer.from(`got ${said.value}`) });
              exit();
              break;
            case 'stdinClosed':
              exit();
          }
        });
      });
    });
    return starts;
  }

  it('passes input, outputs and exit code through', async () => {
    const starts = process();
    const stdin = new PassThrough();
    stdin.end('some input');
    const said = await fake.rivera(['exec', '-i', '-e', 'A=1', 'hello/2', '--', 'cat', '-u'], { stdin });
    expect(said).toEqual({ exitCode: 7, stdout: 'some input', stderr: 'to stderr\n' });
    expect(starts).toMatchObject([
      {
        target: { target: { $case: 'instance', value: { processGuid: 'hello', index: 2 } } },
        path: 'cat',
        args: ['-u'],
        env: ['A=1'],
        terminal: undefined,
      },
    ]);
  });

  it('needs no -- before a command with options of its own, as with docker', async () => {
    const starts = process();
    await fake.rivera(['exec', 'hello', 'ls', '-l']);
    expect(starts).toMatchObject([{ path: 'ls', args: ['-l'] }]);
  });

  it('hands an interrupt to the process', async () => {
    process();
    const interrupts = new Interrupts();
    const stdin = new PassThrough();
    const said = await fake.rivera(['exec', '-i', 'hello', 'sleep'], {
      stdin,
      interrupts,
      onOutput: (text) => text.includes('to stderr') && interrupts.deliver('SIGINT'),
    });
    expect(said).toMatchObject({ exitCode: 7, stdout: 'got INT' });
  });

  it('refuses a terminal where there is none, and options behind the name', async () => {
    expect(await fake.rivera(['exec', '-it', 'hello'])).toMatchObject({ exitCode: EXIT.usage });
    const behind = await fake.rivera(['exec', 'hello', '-it']);
    expect(behind.exitCode).toBe(EXIT.usage);
    expect(behind.stderr).toContain('rivera exec -it hello');
  });

  it('says which instance there is none of', async () => {
    fake.server.duplex(access.exec, async () => {
      throw statusOf(NOT_FOUND, 'hello has no instance 9', { reason: 'CONTAINER_NOT_FOUND' });
    });
    fake.server.unary(desiredLrps.listDesiredLrps, () => ({ desiredLrps: [lrp()], nextPageToken: '', revision: 1 }));
    const { exitCode, stderr } = await fake.rivera(['exec', 'hello/9', 'ls']);
    expect(exitCode).toBe(EXIT.answered);
    expect(stderr).toContain('hello has no instance 9 (CONTAINER_NOT_FOUND)');
    expect(stderr).toContain('rivera lrp show NAME');
  });
});
