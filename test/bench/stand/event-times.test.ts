import { Event } from '@rivera/gen/rivera/bbs/v1/event';
import { WatchResponse } from '@rivera/gen/rivera/bbs/v1/event_service';
import { expect, it } from 'vitest';
import { eventTimesMs } from './event-times.js';

it('finds when each event was decided, without reading the records', () => {
  const times = [1_700_000_000_123, 1_700_000_001_000];
  const events = times.map((ms) => Event.fromPartial({ revision: 7, time: new Date(ms) }));
  const response = WatchResponse.encode(
    WatchResponse.fromPartial({ snapshotComplete: true, events, resumeToken: 'r1.7', revision: 7 }),
  ).finish();
  expect([...eventTimesMs(response)].map(Math.round)).toEqual(times);
});
