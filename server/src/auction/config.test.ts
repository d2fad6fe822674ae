import { loadConfig } from '@rivera/kit/config';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { auctionConfig } from './config.js';

const schema = z.object({ auction: auctionConfig.prefault({}) });
const auction = (settings: object) => loadConfig({ schema, env: {}, overrides: { auction: settings } }).auction;

describe('the settings of the auction', () => {
  it('take times as durations, and hand them on in milliseconds', () => {
    expect(auction({ gather: '1s', slice: '0.5ms', avoidMax: '5m' })).toMatchObject({
      ...{ gatherMs: 1_000, sliceMs: 0.5, avoidMaxMs: 300_000 },
      // By default.
      ...{ answerTimeoutMs: 10_000, settleMs: 10_000, placementAttempts: 3 },
    });
  });

  it.each([
    ['a time beyond reason', { gather: '2h' }, 'auction.gather: must be at most 1h'],
    ['no time at all', { settle: 'long' }, 'auction.settle: must be a duration'],
    ['a slice that blocks everything else', { slice: '1s' }, 'auction.slice: must be at most 100ms'],
    ['a name in milliseconds', { gatherMs: 5 }, 'did you mean auction.gather?'],
  ])('refuse %s', (_, settings, words) => {
    expect(() => auction(settings)).toThrow(words);
  });

  it('can come from the environment', () => {
    const env = { RIVERA_AUCTION_NO_CELL_GRACE: '3s' };
    expect(loadConfig({ schema, env }).auction.noCellGraceMs).toBe(3_000);
  });
});
