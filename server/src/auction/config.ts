import { z } from 'zod';

const durationMs = () => z.number().int().min(0).max(3_600_000);

/** Everything about the auction that can be configured. */
export const auctionConfig = z.object({
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
  gatherMs: durationMs()
    .default(500)
    .describe(
      'How long a new active auctioneer lets cells dial in before it places anything, so that the first cell does not get everything.',
    ),
  noCellGraceMs: durationMs()
    .default(5_000)
    .describe('How long a new active auctioneer holds work while no cell is connected, before the work fails.'),
  answerTimeoutMs: durationMs()
    .default(10_000)
    .describe(
      'How long a cell may take to answer work, also across a reconnect; after that the work is left to the BBS, which offers it again.',
    ),
  settleMs: durationMs()
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
  avoidForMs: durationMs()
    .default(10_000)
    .describe('How long a failing cell is avoided; doubles each time, up to avoidMaxMs.'),
  avoidMaxMs: durationMs().default(120_000).describe('Longest time for which a cell is avoided.'),
  sliceMs: z
    .number()
    .min(0.1)
    .max(100)
    .default(2)
    .describe('How long placements may keep the event loop busy at a time, in milliseconds.'),
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
  reconnectMinMs: durationMs()
    .default(100)
    .describe('First pause before the BBS is dialled again; doubles each time, with jitter.'),
  reconnectMaxMs: durationMs().default(2_000).describe('Longest pause before the BBS is dialled again.'),
});

export type AuctionConfig = z.infer<typeof auctionConfig>;
