import type { AccessServiceClient } from '@rivera/gen/rivera/access/v1/access_service';
import { type ExecInput, ExecStart } from '@rivera/gen/rivera/rep/v1/container';
import type { ExecRequest, ExecResponse } from '@rivera/gen/rivera/rep/v1/rep_service';
import { RiveraError } from '@rivera/kit/errors';
import { type BidiStream, bidi } from '@rivera/kit/grpc/dial';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AccessBench, aborted, Happening, settled } from './testing.js';

let bench: AccessBench;
let client: AccessServiceClient;
beforeEach(async () => {
  bench = await AccessBench.start();
  client = await bench.client();
});
afterEach(() => bench.close());

type Input = NonNullable<ExecInput['input']>;
const said = (input: Input) => ({ input: { input } });
const stdin = (text: string) => said({ $case: 'stdin', value: Buffer.from(text) });
const stdout = (bytes: Buffer | string): ExecResponse => ({
  output: { output: { $case: 'stdout', value: Buffer.from(bytes) } },
});
const exit = (code: number): ExecResponse => ({ output: { output: { $case: 'exit', value: { code, signal: '' } } } });
const onCell = (cellId: string) =>
  said({
    $case: 'start',
    value: ExecStart.fromPartial({ target: { target: { $case: 'taskGuid', value: `t-${cellId}` } }, path: '/bin/sh' }),
  });

function open() {
  const stream = bidi(() => client.exec());
  return { stream, responses: stream.responses[Symbol.asyncIterator]() };
}

async function texts(stream: Pick<BidiStream<never, { output?: ExecResponse['output'] }>, 'responses'>) {
  const all: string[] = [];
  for await (const { output } of stream.responses) {
    const said = output?.output;
    if (said?.$case === 'stdout') all.push(said.value.toString());
    if (said?.$case === 'exit') all.push(`exit ${said.value.code}`);
  }
  return all;
}

/** A cell whose process starts and then says nothing. */
function silentProcess() {
  const started = new Happening<ExecRequest[]>();
  const over = new Happening();
  return {
    started,
    over,
    async *exec(requests: AsyncIterable<ExecRequest>, { signal }: { signal: AbortSignal }) {
      const inputs = requests[Symbol.asyncIterator]();
      const first = await inputs.next();
      yield stdout('ready');
      started.happens(first.done ? [] : [first.value]);
      await aborted(signal);
      over.happens();
    },
  };
}

describe('an exec', () => {
  it('passes both directions through, and names the container to the cell', async () => {
    const targets: unknown[] = [];
    await bench.cell('c1', {
      async *exec(requests) {
        for await (const { input } of requests) {
          if (input?.input?.$case === 'start') targets.push(input.input.value.target?.target);
          if (input?.input?.$case === 'stdin') yield stdout(`heard ${input.input.value}`);
        }
        yield exit(3);
      },
    });
    bench.instances.push({ processGuid: 'web', index: 1, instanceGuid: 'i-7', cellId: 'c1' });
    const { stream } = open();
    const target = { target: { $case: 'instance', value: { processGuid: 'web', index: 1 } } } as const;
    await stream.write(said({ $case: 'start', value: ExecStart.fromPartial({ target }) }));
    await stream.write(stdin('one'));
    await stream.write(stdin('two'));
    stream.end();
    expect(await texts(stream)).toEqual(['heard one', 'heard two', 'exit 3']);
    expect(targets).toEqual([{ $case: 'containerGuid', value: 'i-7' }]);
  });

  it('begins with a start', async () => {
    const { stream, responses } = open();
    await stream.write(stdin('hello'));
    await expect(responses.next()).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
    const { stream: empty, responses: nothing } = open();
    empty.end();
    await expect(nothing.next()).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
  });

  it('ends with the process, though the client could say more', async () => {
    await bench.cell('c1', {
      async *exec() {
        yield stdout('bye');
        yield exit(0);
      },
    });
    const { stream } = open();
    await stream.write(onCell('c1'));
    expect(await texts(stream)).toEqual(['bye', 'exit 0']);
  });

  it('tells a client that goes on sending what the cell refused', async () => {
    await bench.cell('c1', {
      // biome-ignore lint/correctness/useYield: it refuses
      async *exec() {
        throw new RiveraError('CONTAINER_NOT_READY', 'container has ended');
      },
    });
    const { stream, responses } = open();
    await stream.write(onCell('c1'));
    const refused = expect(responses.next()).rejects.toMatchObject({ reason: 'CONTAINER_NOT_READY' });
    for (let sent = 0; sent < 100; sent++) await stream.write(stdin('x'.repeat(100_000))).catch(() => undefined);
    await refused;
  });

  it('waits where the client does not read', async () => {
    let written = 0;
    const started = new Happening();
    await bench.cell('c1', {
      async *exec() {
        const chunk = stdout(Buffer.alloc(64 * 1024));
        for (; written < 10_000; written++) {
          if (written === 5) started.happens();
          yield chunk;
        }
      },
    });
    const { stream } = open();
    await stream.write(onCell('c1'));
    await started.promise;
    await settled(() => written);
    expect(written).toBeLessThan(500);
    stream.cancel();
  });

  it('waits where the process does not read', async () => {
    const { exec } = silentProcess();
    await bench.cell('c1', { exec });
    const { stream, responses } = open();
    await stream.write(onCell('c1'));
    await responses.next();
    let sent = 0;
    const sending = (async () => {
      for (; sent < 10_000; sent++) await stream.write(said({ $case: 'stdin', value: Buffer.alloc(64 * 1024) }));
    })().catch(() => undefined);
    await settled(() => sent);
    expect(sent).toBeLessThan(500);
    stream.cancel();
    await sending;
  });
});

describe('an exec whose client goes away', () => {
  it('leaves nothing running at the cell', async () => {
    const { exec, started, over } = silentProcess();
    await bench.cell('c1', { exec });
    const { stream } = open();
    await stream.write(onCell('c1'));
    await started.promise;
    stream.cancel();
    await over.promise;
  });

  it('leaves nothing running when its machine dies either', async () => {
    const { exec, started, over } = silentProcess();
    await bench.cell('c1', { exec });
    const { client: distant, cable } = await bench.distantClient();
    const stream = bidi(() => distant.exec());
    await stream.write(onCell('c1'));
    await started.promise;
    cable.cut('reset');
    await over.promise;
  });

  it('leaves nothing running when the server closes, and is told to come back', async () => {
    const { exec, started, over } = silentProcess();
    await bench.cell('c1', { exec });
    const { stream, responses } = open();
    await stream.write(onCell('c1'));
    await started.promise;
    await responses.next();
    const ended = expect(responses.next()).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' });
    await bench.host.close(1_000);
    await ended;
    await over.promise;
  });
});

describe('an exec whose cell', () => {
  for (const how of ['end', 'reset'] as const) {
    it(`dies (${how}) ends with CELL_UNREACHABLE`, async () => {
      const { exec, started } = silentProcess();
      const { cable } = await bench.cell('c1', { exec });
      const { stream, responses } = open();
      await stream.write(onCell('c1'));
      await started.promise;
      await responses.next();
      const ended = expect(responses.next()).rejects.toMatchObject({
        reason: 'CELL_UNREACHABLE',
        code: 14,
        metadata: { cell_id: 'c1' },
      });
      cable.cut(how);
      await ended;
      await expect(stream.write(stdin('more'))).rejects.toBeInstanceOf(RiveraError);
    });
  }

  it('closes ends with CELL_UNREACHABLE', async () => {
    const { exec, started } = silentProcess();
    const { host } = await bench.cell('c1', { exec });
    const { stream, responses } = open();
    await stream.write(onCell('c1'));
    await started.promise;
    await responses.next();
    const ended = expect(responses.next()).rejects.toMatchObject({ reason: 'CELL_UNREACHABLE' });
    await host.close(1_000);
    await ended;
  });

  it('is not there, announces nonsense, or is another one can not begin', async () => {
    const { exec } = silentProcess();
    const { cable } = await bench.cell('c1', { exec });
    const real = bench.cells.get('c1');
    await bench.cell('c2', { exec });
    const address = bench.cells.get('c2')?.address ?? '';
    for (const [why, announced] of Object.entries({ 'can not be reached': '///', 'found cell c2': address })) {
      bench.cells.set('c1', { address: announced, state: real?.state ?? 0 });
      const { stream, responses } = open();
      await stream.write(onCell('c1'));
      await expect(responses.next()).rejects.toMatchObject({
        reason: 'CELL_UNREACHABLE',
        message: expect.stringContaining(why),
      });
    }
    cable.cut();
    if (real) bench.cells.set('c1', real);
    const { stream, responses } = open();
    await stream.write(onCell('c1'));
    await expect(responses.next()).rejects.toMatchObject({ reason: 'CELL_UNREACHABLE' });
  });
});

describe('what the BBS answers', () => {
  it('is passed on', async () => {
    for (const [cellId, reason] of [
      ['nowhere', 'TASK_NOT_FOUND'],
      ['waiting', 'CONTAINER_NOT_READY'],
      ['lost', 'CELL_NOT_FOUND'],
      ['mute', 'CELL_UNREACHABLE'],
    ] as const) {
      if (cellId === 'waiting') bench.tasks.set('t-waiting', '');
      if (cellId === 'lost') bench.tasks.set('t-lost', 'lost');
      if (cellId === 'mute') {
        bench.tasks.set('t-mute', 'mute');
        bench.cells.set('mute', { address: '', state: 1 });
      }
      const { stream, responses } = open();
      await stream.write(onCell(cellId));
      await expect(responses.next()).rejects.toMatchObject({ reason });
    }
    const { stream, responses } = open();
    await stream.write(said({ $case: 'start', value: ExecStart.fromPartial({}) }));
    await expect(responses.next()).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
      violations: [{ field: 'target' }],
    });
  });

  it('is passed on with all it carries', async () => {
    bench.bbsFails = new RiveraError('PERMISSION_DENIED', 'not you', {
      metadata: { role: 'x' },
      resource: { type: 'task', name: 't' },
    });
    const { stream, responses } = open();
    await stream.write(onCell('c1'));
    await expect(responses.next()).rejects.toMatchObject({
      reason: 'PERMISSION_DENIED',
      message: 'not you',
      metadata: { role: 'x' },
      resource: { type: 'task', name: 't' },
    });
  });
});
