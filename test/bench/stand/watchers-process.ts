import { Client } from '@grpc/grpc-js';
import { EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import { EventServiceService, WatchRequest } from '@rivera/gen/rivera/bbs/v1/event_service';
import { dial } from '@rivera/kit/grpc/dial';
import type { Identity } from '@rivera/kit/tls/identity';
import { DelayHistogram } from './delay-histogram.js';
import { eventTimesMs } from './event-times.js';
import { endWithParent, say, settings } from './forked-process.js';

/** What watchers have seen since they were asked before. */
export interface Watched {
  readonly events: number;
  /** Streams that the server ended because they were too slow; each went on at the present. */
  readonly cutOff: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** When the last of them came, in milliseconds of the Unix epoch. */
  readonly lastAtMs: number;
}

/** `count`: events so far; `seen`: everything, and from now on anew. */
export type Question = 'count' | 'seen';

endWithParent();
const { address, identity, watchers } = settings<{ address: string; identity: Identity; watchers: number }>();
const { path } = EventServiceService.watch;
const request = WatchRequest.fromPartial({ kinds: [EventKind.ACTUAL_LRP] });
let delays = new DelayHistogram();
let cutOff = 0;
let lastAtMs = 0;

/** A connection of its own for each, as different programs have. */
function watch(): void {
  const client = dial(Client, address, identity, { 'grpc.use_local_subchannel_pool': 1 });
  const call = client.makeServerStreamRequest(
    path,
    (message: WatchRequest) => Buffer.from(WatchRequest.encode(message).finish()),
    (bytes: Buffer) => bytes,
    request,
  );
  call.on('data', (response: Buffer) => {
    const now = Date.now();
    lastAtMs = now;
    for (const decidedMs of eventTimesMs(response)) delays.add(now - decidedMs);
  });
  call.once('data', () => opened());
  call.once('error', () => {
    cutOff++;
    client.close();
    watch();
  });
}

let open = 0;
function opened(): void {
  if (++open === watchers) say('ready');
}

process.on('message', (question: Question) => {
  if (question === 'count') return say(delays.count);
  const [p50Ms, p99Ms] = [delays.quantile(0.5), delays.quantile(0.99)];
  const watched: Watched = { events: delays.count, cutOff, p50Ms, p99Ms, lastAtMs };
  delays = new DelayHistogram();
  cutOff = 0;
  say(watched);
});
for (let i = 0; i < watchers; i++) watch();
