import {
  bigint,
  boolean,
  customType,
  index,
  int,
  mysqlTable,
  primaryKey,
  smallint,
  tinyint,
} from 'drizzle-orm/mysql-core';
import { MAX_IDENTIFIER_BYTES } from '../bbs/core/storable.js';

/**
 * The tables. Statements that are not hot go through drizzle on these; the journal's bulk statements take their columns' names and
 * order from here. `migrations.ts` makes them, and a test compares the two.
 *
 * Identifiers are VARBINARY: compared byte for byte. The binary collations of VARCHAR ignore trailing spaces in comparisons, so that
 * the domains "a" and "a " would be one row. 1,020 bytes hold 255 characters of any kind, and two of them fit into one key.
 *
 * Whatever SQL never looks at (requirements, routes, tags, reasons, network …) is together in `detail`, a document in the format of
 * a `DetailCodec`. The engine reads everything at its start and nothing by any other order than the key: no further indexes.
 */

const identifier = customType<{ data: string; driverData: Buffer | string }>({
  dataType: () => `varbinary(${MAX_IDENTIFIER_BYTES})`,
  fromDriver: (value) => value.toString('utf8'),
  toDriver: (value) => Buffer.from(value, 'utf8'),
});

/** Format byte and content, see `DetailCodec`. */
const blob = customType<{ data: Buffer }>({ dataType: () => 'longblob' });

/** Milliseconds since 1970. */
const timeMs = (name: string) => bigint(name, { mode: 'number' }).notNull();

export const tasks = mysqlTable('tasks', {
  guid: identifier('guid').primaryKey(),
  domain: identifier('domain').notNull(),
  state: tinyint('state').notNull(),
  createdAtMs: timeMs('created_at_ms'),
  updatedAtMs: timeMs('updated_at_ms'),
  firstCompletedAtMs: timeMs('first_completed_at_ms'),
  cellId: identifier('cell_id').notNull(),
  executionGuid: identifier('execution_guid').notNull(),
  failed: boolean('failed').notNull(),
  rejectionCount: int('rejection_count').notNull(),
  nextAttemptAtMs: timeMs('next_attempt_at_ms'),
  callbackAttempts: int('callback_attempts').notNull(),
  nextCallbackAtMs: timeMs('next_callback_at_ms'),
  definitionDigest: identifier('definition_digest').notNull(),
  detail: blob('detail').notNull(),
});

export const taskDefinitions = mysqlTable('task_definitions', {
  guid: identifier('guid').primaryKey(),
  payload: blob('payload').notNull(),
});

export const desiredLrps = mysqlTable('desired_lrps', {
  processGuid: identifier('process_guid').primaryKey(),
  domain: identifier('domain').notNull(),
  instances: int('instances').notNull(),
  updateStrategy: tinyint('update_strategy').notNull(),
  tagEpoch: identifier('tag_epoch').notNull(),
  tagIndex: bigint('tag_index', { mode: 'number' }).notNull(),
  createdAtMs: timeMs('created_at_ms'),
  definitionDigest: identifier('definition_digest').notNull(),
  detail: blob('detail').notNull(),
});

export const lrpRunInfos = mysqlTable('lrp_run_infos', {
  processGuid: identifier('process_guid').primaryKey(),
  payload: blob('payload').notNull(),
});

export const actualLrps = mysqlTable(
  'actual_lrps',
  {
    processGuid: identifier('process_guid').notNull(),
    instanceIndex: int('instance_index').notNull(),
    generation: identifier('generation').notNull(),
    presence: tinyint('presence').notNull(),
    domain: identifier('domain').notNull(),
    state: tinyint('state').notNull(),
    instanceGuid: identifier('instance_guid').notNull(),
    cellId: identifier('cell_id').notNull(),
    sinceMs: timeMs('since_ms'),
    startedAtMs: timeMs('started_at_ms'),
    crashCount: int('crash_count').notNull(),
    nextRestartAtMs: timeMs('next_restart_at_ms'),
    retired: boolean('retired').notNull(),
    routable: boolean('routable').notNull(),
    tagEpoch: identifier('tag_epoch').notNull(),
    tagIndex: bigint('tag_index', { mode: 'number' }).notNull(),
    detail: blob('detail').notNull(),
  },
  (table) => [primaryKey({ columns: [table.processGuid, table.instanceIndex, table.generation] })],
);

export const domains = mysqlTable('domains', {
  domain: identifier('domain').primaryKey(),
  expiresAtMs: timeMs('expires_at_ms'),
});

export const cells = mysqlTable('cells', {
  cellId: identifier('cell_id').primaryKey(),
  incarnation: identifier('incarnation').notNull(),
  evacuating: boolean('evacuating').notNull(),
  missing: boolean('missing').notNull(),
  sinceMs: timeMs('since_ms'),
  detail: blob('detail').notNull(),
});

/** One row, the fence: who writes (`epoch`, and which of its openings), and how far it has come. */
export const bbsTerm = mysqlTable('bbs_term', {
  id: tinyint('id').primaryKey(),
  epoch: bigint('epoch', { mode: 'number' }).notNull(),
  opening: bigint('opening', { mode: 'number' }).notNull(),
  revision: bigint('revision', { mode: 'number' }).notNull(),
});

/**
 * One row, the fence of what a term does between its commits. Such transactions don't move the revision, and in a cluster of databases
 * two of them meet only where both change a row: this one.
 */
export const bbsTurn = mysqlTable('bbs_turn', {
  id: tinyint('id').primaryKey(),
  opening: bigint('opening', { mode: 'number' }).notNull(),
  turn: bigint('turn', { mode: 'number' }).notNull(),
});

/** One row: what a leader that ends and the server that follows tell each other. */
export const bbsHandover = mysqlTable('bbs_handover', {
  id: tinyint('id').primaryKey(),
  record: blob('record').notNull(),
});

/** A row stays when its owner has gone, with an empty owner: its epoch must never come again. */
export const leases = mysqlTable('leases', {
  leaseKey: identifier('lease_key').primaryKey(),
  owner: identifier('owner').notNull(),
  type: tinyint('type').notNull(),
  epoch: bigint('epoch', { mode: 'number' }).notNull(),
  /** By the database's clock. */
  expiresAtMs: timeMs('expires_at_ms'),
  value: blob('value').notNull(),
});

/** One row for each migration that has been made. */
export const schemaVersion = mysqlTable('schema_version', {
  version: smallint('version').primaryKey(),
  migratedAtMs: timeMs('migrated_at_ms'),
});

/** The only row tells who migrates at the moment. Made by `MigrationGuard`, as it is needed before the first migration. */
export const schemaGuard = mysqlTable('schema_guard', {
  id: tinyint('id').primaryKey(),
  owner: identifier('owner').notNull(),
  expiresAtMs: timeMs('expires_at_ms'),
});

/**
 * One row for each label that rows have ever been stored under, '' for plain. A label is entered before the first row is written under
 * it, and counts as needed until a survey of all tables has found none.
 */
export const encryptionStatus = mysqlTable('encryption_status', {
  label: identifier('label').primaryKey(),
  /** Tells whether the label stands for the same key as before. */
  keyCheck: blob('key_check').notNull(),
  active: boolean('active').notNull(),
  /** Rows found by the last survey, less those rewritten since; -1 before the first. */
  rowsLeft: bigint('rows_left', { mode: 'number' }).notNull(),
  /** Rows that left this label for another. */
  rowsRewritten: bigint('rows_rewritten', { mode: 'number' }).notNull(),
  enteredAtMs: timeMs('entered_at_ms'),
  surveyedAtMs: timeMs('surveyed_at_ms'),
  /** When a survey proved that no row needs the label; 0 while one may. */
  finishedAtMs: timeMs('finished_at_ms'),
});

/** Passwords for one login each, as digests. */
export const sshCodes = mysqlTable(
  'ssh_codes',
  {
    digest: identifier('digest').primaryKey(),
    processGuid: identifier('process_guid').notNull(),
    madeBy: identifier('made_by').notNull(),
    expiresAtMs: timeMs('expires_at_ms'),
  },
  (table) => [index('by_expiry').on(table.expiresAtMs)],
);

/** Public keys that may log in. */
export const sshKeys = mysqlTable('ssh_keys', {
  fingerprint: identifier('fingerprint').primaryKey(),
  publicKey: identifier('public_key').notNull(),
  name: identifier('name').notNull(),
  /** JSON list; empty: all. */
  processGuids: blob('process_guids').notNull(),
  /** 0: never. */
  expiresAtMs: timeMs('expires_at_ms'),
});

/** Rows that could not be decoded, as they were found. Nothing here is ever deleted by a program. */
export const quarantine = mysqlTable(
  'quarantine',
  {
    id: bigint('id', { mode: 'number' }).autoincrement().primaryKey(),
    sourceTable: identifier('source_table').notNull(),
    /** The first column of the row's key. */
    guid: identifier('guid').notNull(),
    /** The whole key, a JSON list. */
    rowKey: blob('row_key').notNull(),
    reason: identifier('reason').notNull(),
    quarantinedAtMs: timeMs('quarantined_at_ms'),
    /** When a new row was written in its place; 0 while none was. */
    supersededAtMs: timeMs('superseded_at_ms'),
    /** The columns besides key and `stored`, a JSON object. */
    otherColumns: blob('other_columns').notNull(),
    stored: blob('stored').notNull(),
  },
  (table) => [index('by_guid').on(table.sourceTable, table.guid)],
);

export const ALL_TABLES = [
  tasks,
  taskDefinitions,
  desiredLrps,
  lrpRunInfos,
  actualLrps,
  domains,
  cells,
  bbsTerm,
  bbsTurn,
  bbsHandover,
  leases,
  schemaVersion,
  schemaGuard,
  encryptionStatus,
  quarantine,
  sshCodes,
  sshKeys,
] as const;
