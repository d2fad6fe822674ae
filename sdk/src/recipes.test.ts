import { Action } from '@rivera/gen/rivera/recipe/v1/action';
import { describe, expect, it } from 'vitest';
import {
  codependent,
  download,
  duration,
  emitProgress,
  environment,
  httpCheck,
  parallel,
  run,
  serial,
  tcpCheck,
  timeout,
  tryAction,
  upload,
} from './recipes.js';

describe('a recipe', () => {
  it('reads as the actions nest, and is the message the API wants', () => {
    const web = run({ path: '/bin/web', args: ['-p', '8080'], user: 'web', env: { PORT: '8080', MODE: 'live' } });
    const recipe = serial([
      download({ from: 'https://blobs/app.tgz', to: '/app', user: 'web', cacheKey: 'app' }),
      tryAction(timeout(run({ path: '/bin/warm-up', user: 'web' }), 1500)),
      emitProgress(codependent([web, run({ path: '/bin/sidecar', user: 'web' })]), { startMessage: 'starting' }),
      parallel([upload({ from: '/result', to: 'https://blobs/result', user: 'web' })], { logSource: 'UP' }),
    ]);
    expect(Action.decode(Action.encode(recipe).finish())).toEqual(recipe);
    const { action } = recipe;
    if (action?.$case !== 'serialAction') throw new Error('not serial');
    const [first, second, third, fourth] = action.value.actions.map((inner) => inner.action);
    expect(first).toMatchObject({ $case: 'downloadAction', value: { from: 'https://blobs/app.tgz', cacheKey: 'app' } });
    expect(second).toMatchObject({
      $case: 'tryAction',
      value: { action: { action: { $case: 'timeoutAction', value: { timeout: { seconds: 1, nanos: 500_000_000 } } } } },
    });
    expect(third).toMatchObject({
      $case: 'emitProgressAction',
      value: { startMessage: 'starting', successMessage: '' },
    });
    expect(fourth).toMatchObject({ $case: 'parallelAction', value: { logSource: 'UP' } });
  });

  it('keeps the order of its variables', () => {
    const variables = [
      { name: 'B', value: '2' },
      { name: 'A', value: '1' },
    ];
    expect(environment({ B: '2', A: '1' })).toEqual(variables);
    expect(environment(variables)).toEqual(variables);
  });
});

describe('a check', () => {
  it('leaves to the cell what it does not say', () => {
    expect(tcpCheck(8080)).toMatchObject({
      probe: { value: { port: 8080 } },
      interval: undefined,
      failureThreshold: 0,
    });
    expect(httpCheck(80, '/up', { timeoutMs: 250, failureThreshold: 3 })).toMatchObject({
      probe: { $case: 'httpCheck', value: { port: 80, path: '/up' } },
      timeout: { seconds: 0, nanos: 250_000_000 },
      failureThreshold: 3,
    });
  });
});

describe('a length of time', () => {
  it.each([
    [0, 0, 0],
    [1500, 1, 500_000_000],
    [0.5, 0, 500_000],
    [60_000, 60, 0],
  ])('of %d ms is %d s and %d ns', (ms, seconds, nanos) => {
    expect(duration(ms)).toEqual({ seconds, nanos });
  });
});
