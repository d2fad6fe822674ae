import { duration } from '@rivera/kit/config';
import { z } from 'zod';

const time = () => duration({ max: '1h' });

/** The settings as they are written. */
const settings = z.object({
  binPackFirstFitWeight: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe('Score per step of a cell’s index in its zone: above 0, LRPs fill cells with low indices first.'),
  startingContainerWeight: z
    .number()
    .min(0)
    .max(1)
    .default(0.25)
    .describe('Score per container that is starting on a cell: how much a cell that is busy starting is spared.'),
  startingContainerCountMaximum: z
    .number()
    .int()
    .default(0)
    .describe('Most containers that may be starting on all cells together; 0 or less: no limit.'),
  placementAttempts: z
    .number()
    .int()
    .min(1)
    .max(10)
    .default(3)
    .describe('Cells that a piece of work is offered to when they refuse it, before it counts as not placed.'),
  gather: time()
    .default(500)
    .describe(
      'How long a new active auctioneer lets cells dial in before it places anything, so that the first cell does not get everything.',
    ),
  noCellGrace: time()
    .default(5_000)
    .describe('How long a new active auctioneer holds work while no cell is connected, before the work fails.'),
  answerTimeout: time()
    .default(10_000)
    .describe(
      'How long a cell may take to answer work, also across a reconnect; after that the work is left to the BBS, which offers it again.',
    ),
  settle: time()
    .default(10_000)
    .describe(
      'How long work that a cell holds is not placed again although the BBS offers it: the claim may be on its way.',
    ),
  avoidAfterStrikes: z
    .number()
    .int()
    .min(1)
    .max(1_000)
    .default(3)
    .describe(
      'Failures of a cell in a row (refusing everything, not answering, vanishing with work) after which it is avoided.',
    ),
  avoidFor: time().default(10_000).describe('How long a failing cell is avoided; doubles each time, up to avoidMax.'),
  avoidMax: time().default(120_000).describe('Longest time for which a cell is avoided.'),
  slice: duration({ min: '0.1ms', max: '100ms' })
    .default(2)
    .describe('How long placements may keep the event loop busy at a time.'),
  maxQueued: z
    .number()
    .int()
    .min(1)
    .max(10_000_000)
    .default(2_000_000)
    .describe('Pieces of work that may wait; while so many do, no more is read from the BBS.'),
  maxUnsentPerCell: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(10_000)
    .describe('Pieces of work that may wait to be sent to one cell; a cell that leaves more unread is disconnected.'),
  reconnectMin: time()
    .default(100)
    .describe('First pause before the BBS is dialled again; doubles each time, with jitter.'),
  reconnectMax: time().default(2_000).describe('Longest pause before the BBS is dialled again.'),
});

/** Everything about the auction that can be configured; times are read as durations, and are milliseconds from here on. */
export const auctionConfig = settings.transform(
  ({
    gather,
    noCellGrace,
    answerTimeout,
    settle,
    avoidFor,
    avoidMax,
    slice,
    reconnectMin,
    reconnectMax,
    ...others
  }) => ({
    ...others,
    gatherMs: gather,
    noCellGraceMs: noCellGrace,
    answerTimeoutMs: answerTimeout,
    settleMs: settle,
    avoidForMs: avoidFor,
    avoidMaxMs: avoidMax,
    sliceMs: slice,
    reconnectMinMs: reconnectMin,
    reconnectMaxMs: reconnectMax,
  }),
);

export type AuctionConfig = z.infer<typeof auctionConfig>;
