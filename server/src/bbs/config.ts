import { duration, size } from '@rivera/kit/config';
import { z } from 'zod';
import { DEFAULT_CONVERGER_OPTIONS } from './converger.js';
import { DEFAULT_POLICY, type Policy } from './core/policy.js';

const { massLoss, restart } = DEFAULT_POLICY;

/** Everything about the BBS that can be configured; defaults are the reference's (spec bbs §3.5, §4.4, §10). */
export const bbsConfig = z.object({
  expirePendingTask: duration({ min: '1s' })
    .default(DEFAULT_POLICY.expirePendingTaskMs)
    .describe('A Task that waits longer for a cell fails'),
  expireCompletedTask: duration({ min: '1s' })
    .default(DEFAULT_POLICY.expireCompletedTaskMs)
    .describe('A Task that has ended is forgotten after this, with its result'),
  callbackRetention: duration({ min: '1s' })
    .default(DEFAULT_POLICY.callbackRetentionMs)
    .describe('How long delivery of a completion callback is tried'),
  deadLetterRetention: duration({ min: '1s' })
    .default(DEFAULT_POLICY.deadLetterRetentionMs)
    .describe('How long a Task is kept after delivery of its completion callback was given up'),
  maxDeadLetters: z
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .default(DEFAULT_POLICY.maxDeadLetters)
    .describe('Most Tasks kept as such; the oldest go first'),
  callbackTimeout: duration({ min: '100ms' })
    .default(10_000)
    .describe('Time that a completion callback may take; never longer than most of kick'),
  callbackConcurrency: z.number().int().min(1).max(10_000).default(64).describe('Callbacks under way at a time'),
  kick: duration({ min: '1s' })
    .default(DEFAULT_POLICY.kickMs)
    .describe('Work that waits for a cell is offered again after this, and a stop that was not obeyed is repeated'),
  maxTaskRetries: z
    .number()
    .int()
    .min(0)
    .max(1_000)
    .default(DEFAULT_POLICY.maxTaskRetries)
    .describe('Placements of a Task that may fail before the last one'),
  taskRetryBackoff: duration({ min: '10ms' })
    .default(DEFAULT_POLICY.taskRetryBackoffMs)
    .describe('First pause between two placements of a Task; doubles up to kick'),
  presenceTtl: duration({ min: '1s' })
    .default(DEFAULT_POLICY.presenceTtlMs)
    .describe('A cell that is not heard of for so long is missing: its instances are placed anew, its Tasks fail'),
  forgetCell: duration({ min: '1s' }).default(DEFAULT_POLICY.forgetCellMs).describe('How long a missing cell is shown'),
  massLoss: z
    .object({
      grace: duration()
        .default(massLoss.graceMs)
        .describe('How much longer than presenceTtl cells are waited for when most fall silent at once; 0s: no longer'),
      fraction: z
        .number()
        .min(0)
        .max(1)
        .default(massLoss.fraction)
        .describe('More than this part of the cells must be silent, or have been lost within grace'),
      minimumCells: z.number().int().min(1).default(massLoss.minimumCells).describe('And at least so many cells'),
    })
    .prefault({})
    .describe('When the loss of cells is held back, as the fault is more likely elsewhere'),
  massStop: z
    .object({
      grace: duration()
        .default(DEFAULT_CONVERGER_OPTIONS.massStop.graceMs)
        .describe('A domain must be vouched for at least so long after the unwanted instances were found'),
      fraction: z
        .number()
        .min(0)
        .max(1)
        .default(DEFAULT_CONVERGER_OPTIONS.massStop.fraction)
        .describe('More than this part of all instances must have become unwanted'),
      minimumInstances: z
        .number()
        .int()
        .min(1)
        .default(DEFAULT_CONVERGER_OPTIONS.massStop.minimumInstances)
        .describe('And at least so many instances'),
    })
    .prefault({})
    .describe(
      'When a comparison of everything does not stop what nobody desires, as the fault may be in what was listed',
    ),
  auditInterval: duration({ min: '1s' })
    .default(DEFAULT_CONVERGER_OPTIONS.auditIntervalMs)
    .describe('How often everything is compared with what is desired'),
  slowCommit: duration({ min: '1ms' })
    .default(1_000)
    .describe('A transaction that takes longer is in the log, with what was in it'),
  leaseTtl: duration({ min: '2s', max: '5m' })
    .default(15_000)
    .describe('A leader that can not renew its lease for so long is replaced'),
  payloadCache: size({ min: '1MiB' })
    .default(64 * 1024 * 1024)
    .describe('Recipes kept in memory; all others are read from the database when a cell needs them'),
  changeLogCapacity: z
    .number()
    .int()
    .min(100)
    .max(10_000_000)
    .default(50_000)
    .describe('Changes kept in memory for watchers that fall behind or resume'),
  restart: z
    .object({
      resetAfter: duration().default(restart.resetAfterMs).describe('Uptime after which crashes are counted anew'),
      immediateRestarts: z
        .number()
        .int()
        .min(0)
        .default(restart.immediateRestarts)
        .describe('Crash counts below this are restarted at once'),
      minimumBackoff: duration().default(restart.minimumBackoffMs).describe('First pause before a restart; doubles'),
      maximumBackoff: duration().default(restart.maximumBackoffMs).describe('Longest pause before a restart'),
      giveUpAt: z
        .number()
        .int()
        .min(0)
        .default(restart.giveUpAt)
        .describe('Crash count at which an instance stays down; 0: never'),
    })
    .prefault({})
    .describe('What happens to instances that crash, unless their LRP says otherwise'),
});

/** How long one callback may take: a Task that is RESOLVING for longer than `kick` is taken for abandoned, and would be told twice. */
export function callbackTimeoutMs({ callbackTimeout, kick }: BbsConfig): number {
  return Math.min(callbackTimeout, Math.floor(kick * 0.8));
}

export type BbsConfig = z.infer<typeof bbsConfig>;

/** The numbers that decisions use. */
export function policyOf(config: BbsConfig): Policy {
  return {
    expirePendingTaskMs: config.expirePendingTask,
    expireCompletedTaskMs: config.expireCompletedTask,
    callbackRetentionMs: config.callbackRetention,
    deadLetterRetentionMs: config.deadLetterRetention,
    maxDeadLetters: config.maxDeadLetters,
    kickMs: config.kick,
    maxTaskRetries: config.maxTaskRetries,
    taskRetryBackoffMs: config.taskRetryBackoff,
    callbackBackoffMs: DEFAULT_POLICY.callbackBackoffMs,
    presenceTtlMs: config.presenceTtl,
    forgetCellMs: config.forgetCell,
    massLoss: {
      graceMs: config.massLoss.grace,
      fraction: config.massLoss.fraction,
      minimumCells: config.massLoss.minimumCells,
    },
    restart: {
      resetAfterMs: config.restart.resetAfter,
      immediateRestarts: config.restart.immediateRestarts,
      minimumBackoffMs: config.restart.minimumBackoff,
      maximumBackoffMs: config.restart.maximumBackoff,
      giveUpAt: config.restart.giveUpAt,
    },
  };
}
