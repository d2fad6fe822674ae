import { expect, it } from 'vitest';
import { UnavailableError } from '../errors.js';
import type { Scope } from './lifetime.js';
import { Reconnects } from './streams.js';
import type { Transport } from './transport.js';

const standsBy = () => new UnavailableError({ message: 'stands by', reason: 'NOT_LEADER' });
const isGone = () => new UnavailableError({ message: 'No connection established' });

function reconnects() {
  const transport = {
    settings: { maxAttempts: 3 },
    servers: { failed: () => false },
    runtime: { random: () => 0, sleep: async () => undefined },
  } as unknown as Transport;
  const scope = { signal: new AbortController().signal } as Scope;
  return new Reconnects(transport, scope, { safety: 'repeatable', patience: 'bounded' });
}

/** How many failures it bears before it gives up. */
async function borne(failures: () => Generator<UnavailableError>): Promise<number> {
  const tried = reconnects();
  let count = 0;
  for (const error of failures()) {
    const goesOn = await tried.after(error, { address: 'a:1' }).then(
      () => true,
      () => false,
    );
    if (!goesOn) return count;
    count++;
  }
  return count;
}

function* turns(...errors: (() => UnavailableError)[]): Generator<UnavailableError> {
  for (let n = 0; n < 100; n++) yield (errors[n % errors.length] as () => UnavailableError)();
}

it('a stream is opened a few times again where nobody answers, and more often where somebody stands by', async () => {
  expect(await borne(() => turns(isGone))).toBe(2);
  expect(await borne(() => turns(standsBy))).toBe(11);
});

it('outlasts an election also when the leader before is gone without a word', async () => {
  expect(await borne(() => turns(standsBy, isGone))).toBe(11);
  expect(await borne(() => turns(isGone, standsBy))).toBe(11);
});

it('counts anew after each message', async () => {
  const tried = reconnects();
  await tried.after(standsBy(), { address: 'a:1' });
  tried.progressed();
  for (let n = 0; n < 2; n++) await tried.after(isGone(), { address: 'a:1' });
  await expect(tried.after(isGone(), { address: 'a:1' })).rejects.toThrow('No connection established');
});
