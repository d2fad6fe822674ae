import { RiveraError } from '@rivera/kit/errors';
import type { Peer } from '@rivera/kit/tls/identity';
import type { Chance } from './chance.js';
import type { Coverage } from './coverage.js';
import type { Host } from './host.js';
import type { Network } from './network.js';

/** A call that was made. Its answer may be lost and its fate still be decided: those are two things. */
export interface Call {
  readonly answer: Promise<unknown>;
  /** Whose handler has it; undefined: it reached nobody. */
  handledBy: Host | undefined;
  /** The handler has ended, or there will be none. */
  ended: boolean;
}

export interface CallOptions {
  readonly network: Network;
  readonly chance: Chance;
  readonly coverage: Coverage;
  readonly deadlineMs: number;
  /** Of a hundred calls, so many lose the request, and so many the answer. */
  readonly lossPercent: number;
}

/** Calls a unary method once, as gRPC would: with a deadline, and no repetition of its own. */
export function callOnce(
  from: Host,
  to: { address: string; path: string; peer: Peer },
  request: unknown,
  options: CallOptions,
): Call {
  const { network, chance, coverage, deadlineMs, lossPercent } = options;
  const { address, path, peer } = to;
  let settle: { resolve(value: unknown): void; reject(error: Error): void } | undefined;
  const answer = new Promise<unknown>((resolve, reject) => {
    settle = { resolve, reject };
  });
  const call: Call = { answer, handledBy: undefined, ended: false };
  const aborter = new AbortController();
  const cancelDeadline = from.after(deadlineMs, () => {
    const late = new RiveraError('DEADLINE_EXCEEDED', `no answer within ${deadlineMs} ms`);
    settle?.reject(late);
    aborter.abort(late);
    if (call.handledBy === undefined) call.ended = true;
  });
  const back = (give: () => void) =>
    from.after(network.latencyMs(), () => {
      cancelDeadline();
      give();
    });
  const endpoint = network.reach(from, address, path);
  if (endpoint === undefined) {
    call.ended = true;
    back(() => settle?.reject(new RiveraError('UNAVAILABLE', `nobody answers at ${address}`)));
    return call;
  }
  if (chance.percent(lossPercent)) {
    coverage.note('request lost');
    call.ended = true;
    if (chance.percent(50)) back(() => settle?.reject(new RiveraError('UNAVAILABLE', 'the connection was lost')));
    return call;
  }
  const losesAnswer = chance.percent(lossPercent);
  endpoint.host.after(network.latencyMs(), async () => {
    if (aborter.signal.aborted) return;
    call.handledBy = endpoint.host;
    try {
      const result = await endpoint.handler(request, network.context(path, peer, aborter.signal));
      if (!losesAnswer) back(() => settle?.resolve(result));
    } catch (error) {
      const failure = network.failureOf(error, path);
      if (!losesAnswer) back(() => settle?.reject(failure));
    } finally {
      call.ended = true;
      if (losesAnswer) {
        coverage.note('answer lost');
        back(() => settle?.reject(new RiveraError('UNAVAILABLE', 'the connection was lost')));
      }
    }
  });
  return call;
}
