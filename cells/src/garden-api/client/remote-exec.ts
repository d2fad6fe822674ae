import { PassThrough, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { ExecRequest, ExecResponse } from '@rivera/gen/rivera/garden/v1/garden_service';
import { type ExecExit, type ExecInput, ExecStart } from '@rivera/gen/rivera/rep/v1/container';
import { type BidiStream, bidi } from '@rivera/kit/grpc/dial';
import { type ExecSpec, GardenError, type InteractiveProcess } from '../../garden/garden.js';
import { linesOf } from '../messages.js';
import { type Remote, told } from './remote.js';

/** Bytes of standard input in one message. */
const STDIN_BYTES = 512 * 1024;

/** Runs a process for a person on the other side; it ends with its stream. @throws GardenError */
export async function remoteExec(remote: Remote, handle: string, spec: ExecSpec): Promise<InteractiveProcess> {
  const stream = bidi<ExecRequest, ExecResponse>(() => remote.client.exec(), remote.closing);
  const responses = stream.responses[Symbol.asyncIterator]();
  try {
    await say(stream, { $case: 'start', value: startOf(handle, spec) });
    const first = await responses.next();
    if (first.done || first.value.output?.output?.$case !== 'started')
      throw new GardenError('process-failed', 'the service did not say that the process runs');
  } catch (error) {
    stream.cancel();
    throw told(remote, error, 'process-failed');
  }
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const ended = follow(remote, responses, { stdout, stderr });
  ended.catch(() => undefined);
  return {
    stdin: inputTo(stream),
    stdout,
    stderr,
    resize: (columns, rows) =>
      void say(stream, { $case: 'windowSize', value: { columns, rows } }).catch(() => undefined),
    signal: (signal) => void say(stream, { $case: 'signal', value: signal.replace(/^SIG/, '') }).catch(() => undefined),
    wait: () => ended,
    kill: () => void say(stream, { $case: 'signal', value: 'KILL' }).catch(() => undefined),
  };
}

/** Hands over output as fast as it is read, and resolves when all was. */
async function follow(
  remote: Remote,
  responses: AsyncIterator<ExecResponse>,
  { stdout, stderr }: { stdout: PassThrough; stderr: PassThrough },
): Promise<{ code: number; signal?: NodeJS.Signals }> {
  let exit: ExecExit | undefined;
  try {
    for (let next = await responses.next(); !next.done; next = await responses.next()) {
      const said = next.value.output?.output;
      if (said?.$case === 'stdout') await hand(stdout, said.value);
      if (said?.$case === 'stderr') await hand(stderr, said.value);
      if (said?.$case === 'exit') exit = said.value;
    }
    if (!exit) throw new GardenError('unavailable', 'the service did not say how the process ended');
  } catch (error) {
    const failure = told(remote, error, 'unavailable');
    stdout.destroy();
    stderr.destroy();
    throw failure;
  }
  stdout.end();
  stderr.end();
  await Promise.all([stdout, stderr].map((each) => finished(each, { writable: false }).catch(() => undefined)));
  const { code, signal } = exit;
  return signal === '' ? { code } : { code, signal: `SIG${signal}` as NodeJS.Signals };
}

async function hand(stream: PassThrough, data: Buffer): Promise<void> {
  if (stream.destroyed || stream.write(data)) return;
  await new Promise<void>((resolve) => {
    const go = (): void => {
      stream.off('drain', go).off('close', go);
      resolve();
    };
    stream.on('drain', go).on('close', go);
  });
}

function inputTo(stream: BidiStream<ExecRequest, ExecResponse>): Writable {
  return new Writable({
    async write(chunk: Buffer, _encoding, done) {
      // Nobody hears what is said to a process that has ended.
      try {
        for (let from = 0; from < chunk.length; from += STDIN_BYTES)
          await say(stream, { $case: 'stdin', value: chunk.subarray(from, from + STDIN_BYTES) });
      } catch {}
      done();
    },
    final(done) {
      say(stream, { $case: 'stdinClosed', value: true }).then(
        () => done(),
        () => done(),
      );
    },
  });
}

function say(stream: BidiStream<ExecRequest, ExecResponse>, input: ExecInput['input']): Promise<void> {
  return stream.write({ input: { input } });
}

function startOf(handle: string, { env, terminal, nofile: _nofile, ...same }: ExecSpec): ExecStart {
  const target = { target: { $case: 'containerGuid', value: handle } } as const;
  return ExecStart.fromPartial({
    ...same,
    target,
    env: linesOf(env),
    ...(terminal
      ? { terminal: { term: terminal.term, windowSize: { columns: terminal.columns, rows: terminal.rows } } }
      : {}),
  });
}
