import { defineMetrics, LATENCY_SECONDS, NANOSECONDS } from '@rivera/kit/metrics';

const ORDINARY = { presence: 'ordinary' };
const SUSPECT = { presence: 'suspect' };

/** What the BBS measures. Gauges of its state are there while this server leads, and absent while it stands by. */
export const BBS_METRICS = defineMetrics({
  terms: {
    name: 'rivera_bbs_terms_total',
    kind: 'counter',
    help: 'Times that this server began to lead.',
    aliases: [{ name: 'BBSMasterElected' }],
  },
  revision: { name: 'rivera_bbs_revision', kind: 'gauge', help: 'Everything up to this revision is durable.' },
  instances: {
    name: 'rivera_bbs_lrp_instances',
    kind: 'gauge',
    help: 'Records of actual LRPs.',
    labels: ['presence', 'state'],
    aliases: [
      { name: 'LRPsUnclaimed', where: { ...ORDINARY, state: 'unclaimed' } },
      { name: 'LRPsClaimed', where: { ...ORDINARY, state: 'claimed' } },
      { name: 'LRPsRunning', where: { ...ORDINARY, state: 'running' } },
      { name: 'CrashedActualLRPs', where: { ...ORDINARY, state: 'crashed' } },
      { name: 'SuspectRunningActualLRPs', where: { ...SUSPECT, state: 'running' } },
      { name: 'SuspectClaimedActualLRPs', where: { ...SUSPECT, state: 'claimed' } },
    ],
  },
  desired: { name: 'rivera_bbs_desired_lrps', kind: 'gauge', help: 'Desired LRPs.' },
  desiredInstances: {
    name: 'rivera_bbs_desired_instances',
    kind: 'gauge',
    help: 'Instances that all desired LRPs ask for together.',
    aliases: [{ name: 'LRPsDesired' }],
  },
  crashing: {
    name: 'rivera_bbs_crashing_lrps',
    kind: 'gauge',
    help: 'LRPs of which at least one instance is CRASHED.',
    aliases: [{ name: 'CrashingDesiredLRPs' }],
  },
  tasks: {
    name: 'rivera_bbs_tasks',
    kind: 'gauge',
    help: 'Tasks.',
    labels: ['state'],
    aliases: [
      { name: 'TasksPending', where: { state: 'pending' } },
      { name: 'TasksRunning', where: { state: 'running' } },
      { name: 'TasksCompleted', where: { state: 'completed' } },
      { name: 'TasksResolving', where: { state: 'resolving' } },
    ],
  },
  cells: {
    name: 'rivera_bbs_cells',
    kind: 'gauge',
    help: 'Cells: present, evacuating (present and being drained), silent (not heard of for their time to live, as most are: their loss is held back), missing (not heard of for their time to live).',
    labels: ['state'],
    aliases: [{ name: 'PresentCells', not: { state: 'missing' } }],
  },
  absentCells: {
    name: 'rivera_bbs_missing_cells_with_work',
    kind: 'gauge',
    help: 'Missing cells on which instances are still recorded.',
    aliases: [{ name: 'SuspectCells' }],
  },
  domains: {
    name: 'rivera_bbs_domain_fresh',
    kind: 'gauge',
    help: '1 for each fresh domain; absent for the others.',
    labels: ['domain'],
    aliases: [{ name: 'Domain', by: { domain: 'domain' } }],
  },
  transitions: {
    name: 'rivera_bbs_lrp_transitions_total',
    kind: 'counter',
    help: 'Changes of state of instances, by the new state.',
    labels: ['to'],
  },
  taskRuns: {
    name: 'rivera_bbs_task_runs_total',
    kind: 'counter',
    help: 'Tasks that were started, that succeeded and that failed on a cell.',
    labels: ['cell', 'outcome'],
    aliases: [
      { name: 'TasksStarted', where: { outcome: 'started' }, by: { cell_id: 'cell' } },
      { name: 'TasksSucceeded', where: { outcome: 'succeeded' }, by: { cell_id: 'cell' } },
      { name: 'TasksFailed', where: { outcome: 'failed' }, by: { cell_id: 'cell' } },
    ],
  },
  effects: {
    name: 'rivera_bbs_effects_total',
    kind: 'counter',
    help: 'What was asked for outside: placements, stops, updates, cancellations, callbacks, evacuations.',
    labels: ['kind'],
  },
  callbacksWaiting: {
    name: 'rivera_bbs_callbacks_waiting',
    kind: 'gauge',
    help: 'Completed Tasks whose callback is still to be delivered, or is being delivered.',
  },
  callbacks: {
    name: 'rivera_bbs_callbacks_total',
    kind: 'counter',
    help: 'Callbacks that were delivered, and attempts that failed and are repeated.',
    labels: ['outcome'],
  },
  deadLetters: {
    name: 'rivera_bbs_dead_letters',
    kind: 'gauge',
    help: 'Completed Tasks whose callback was given up, and that are kept until somebody looks after them.',
  },
  deadLetterChanges: {
    name: 'rivera_bbs_dead_letters_total',
    kind: 'counter',
    help: 'What became of dead letters: given-up (a Task became one), retried, dismissed, expired, and crowded-out by newer ones.',
    labels: ['change'],
  },
  passes: {
    name: 'rivera_bbs_convergence_passes_total',
    kind: 'counter',
    help: 'Passes of the converger: due (over what is due) and audit (over everything).',
    labels: ['kind'],
    aliases: [
      { name: 'ConvergenceLRPRuns', where: { kind: 'audit' } },
      { name: 'ConvergenceTaskRuns', where: { kind: 'audit' } },
    ],
  },
  passSeconds: {
    name: 'rivera_bbs_convergence_seconds',
    kind: 'histogram',
    help: 'Time that a pass took, the breaths between its slices included.',
    labels: ['kind'],
    buckets: LATENCY_SECONDS,
  },
  lastPass: {
    name: 'rivera_bbs_convergence_last_seconds',
    kind: 'gauge',
    help: 'Time that the latest pass took.',
    labels: ['kind'],
    aliases: [
      { name: 'ConvergenceLRPDuration', where: { kind: 'audit' }, scale: NANOSECONDS },
      { name: 'ConvergenceTaskDuration', where: { kind: 'audit' }, scale: NANOSECONDS },
    ],
  },
  looks: { name: 'rivera_bbs_due_looks_total', kind: 'counter', help: 'Records that were looked at as they were due.' },
  due: { name: 'rivera_bbs_due_waiting', kind: 'gauge', help: 'Records that are to be looked at at some time.' },
  mended: {
    name: 'rivera_bbs_audit_mended_total',
    kind: 'counter',
    help: 'Rows that an audit had to mend; above 0 it has found a defect.',
  },
  missing: {
    name: 'rivera_bbs_audit_missing',
    kind: 'gauge',
    help: 'Instances that were desired and did not exist, at the latest audit.',
    aliases: [{ name: 'LRPsMissing' }],
  },
  extra: {
    name: 'rivera_bbs_audit_extra',
    kind: 'gauge',
    help: 'Instances that nobody desired and that were not told to stop, at the latest audit.',
    aliases: [{ name: 'LRPsExtra' }],
  },
  held: {
    name: 'rivera_bbs_audit_held',
    kind: 'gauge',
    help: 'Instances that nobody desires and that were left running as there are too many at once, at the latest audit: vouch for their domains, or look for what was lost.',
  },
  backlogRows: {
    name: 'rivera_bbs_backlog_rows',
    kind: 'gauge',
    help: 'Changed rows that wait for their transaction.',
  },
  backlogAge: {
    name: 'rivera_bbs_backlog_age_seconds',
    kind: 'gauge',
    help: 'How long the oldest of them has waited.',
  },
  commits: { name: 'rivera_bbs_commits_total', kind: 'counter', help: 'Transactions that became durable.' },
  commitRows: {
    name: 'rivera_bbs_commit_rows',
    kind: 'histogram',
    help: 'Changed rows in a transaction.',
    buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000],
  },
  commitSeconds: {
    name: 'rivera_bbs_commit_seconds',
    kind: 'histogram',
    help: 'Time from the first attempt at a transaction to its end.',
    buckets: LATENCY_SECONDS,
  },
  commitRetries: {
    name: 'rivera_bbs_commit_retries_total',
    kind: 'counter',
    help: 'Attempts at a transaction that failed and were repeated.',
  },
  slowCommits: {
    name: 'rivera_bbs_slow_commits_total',
    kind: 'counter',
    help: 'Transactions that took longer than bbs.slowCommit; each is in the log with what was in it.',
  },
  sessions: { name: 'rivera_bbs_sessions', kind: 'gauge', help: 'Cells that have a session now.' },
  watchers: { name: 'rivera_bbs_watchers', kind: 'gauge', help: 'Clients that watch events now.' },
  auctioneer: {
    name: 'rivera_bbs_auctioneer_connected',
    kind: 'gauge',
    help: '1 while an auctioneer takes work from this BBS.',
  },
  cacheHits: {
    name: 'rivera_bbs_payload_cache_hits_total',
    kind: 'counter',
    help: 'Recipes that were in memory when they were needed.',
    labels: ['payload'],
  },
  cacheMisses: {
    name: 'rivera_bbs_payload_cache_misses_total',
    kind: 'counter',
    help: 'Recipes that had to be read from the database.',
    labels: ['payload'],
  },
  cacheBytes: {
    name: 'rivera_bbs_payload_cache_bytes',
    kind: 'gauge',
    help: 'Recipes in memory.',
    labels: ['payload'],
  },
});
