import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { silentLogger } from './log.js';
import { runProgram, type SignalSource } from './shutdown.js';

/** Signals and exits of a process that is not this one. */
class FakeProcess extends EventEmitter implements SignalSource {
  readonly exits: number[] = [];
  exit(code: number): void {
    this.exits.push(code);
  }
}

test('runs until a signal, then closes in reverse order', async () => {
  const source = new FakeProcess();
  const closed: string[] = [];
  const code = await runProgram(
    (program) => {
      program.onClose('database', () => void closed.push('database'));
      program.onClose('server', async () => void closed.push('server'));
      setImmediate(() => source.emit('SIGTERM', 'SIGTERM'));
    },
    { logger: silentLogger, process: source },
  );
  expect(code).toBe(0);
  expect(closed).toEqual(['server', 'database']);
  expect(source.listenerCount('SIGTERM') + source.listenerCount('SIGINT')).toBe(0);
});

test('a second signal does not wait for what is being closed', async () => {
  const source = new FakeProcess();
  const running = runProgram(
    (program) => {
      program.onClose('slow', () => new Promise(() => undefined));
      source.emit('SIGINT', 'SIGINT');
      setImmediate(() => source.emit('SIGINT', 'SIGINT'));
    },
    { logger: silentLogger, process: source, closeTimeoutMs: 200 },
  );
  await expect.poll(() => source.exits).toEqual([130]);
  expect(await running).toBe(1);
});

test('what can not be closed does not keep the rest open', async () => {
  const source = new FakeProcess();
  const closed: string[] = [];
  const code = await runProgram(
    (program) => {
      program.onClose('last', () => void closed.push('last'));
      program.onClose('hangs', () => new Promise(() => undefined));
      program.onClose('breaks', () => {
        throw new Error('broken');
      });
      program.stop();
    },
    { logger: silentLogger, process: source, closeTimeoutMs: 30 },
  );
  expect(code).toBe(1);
  expect(closed).toEqual(['last']);
});

test('a start that fails closes what was opened', async () => {
  const closed: string[] = [];
  const code = await runProgram(
    (program) => {
      program.onClose('opened', () => void closed.push('opened'));
      throw new Error('no database');
    },
    { logger: silentLogger, process: new FakeProcess() },
  );
  expect(code).toBe(1);
  expect(closed).toEqual(['opened']);
});

test('a start that is interrupted is no failure', async () => {
  const source = new FakeProcess();
  const code = await runProgram(
    async ({ signal }) => {
      setImmediate(() => source.emit('SIGINT', 'SIGINT'));
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
    { logger: silentLogger, process: source },
  );
  expect(code).toBe(0);
});

test('a part that fails later ends the program as failed', async () => {
  const code = await runProgram((program) => void setImmediate(() => program.stop(new Error('lost the lease'))), {
    logger: silentLogger,
    process: new FakeProcess(),
  });
  expect(code).toBe(1);
});
