/** A step of the schema. Once released it is never edited; a further step goes behind it. */
export interface Migration {
  /** 1, 2, 3 … without gaps. */
  readonly version: number;
  readonly name: string;
  /**
   * Each must be harmless when repeated: MySQL commits every change of a table by itself, so a starter that died half-way leaves a
   * part of the step behind, and the next one makes the step again as a whole.
   */
  readonly statements: readonly string[];
}

const id = 'VARBINARY(1020) NOT NULL';
const time = 'BIGINT NOT NULL';
const options = 'ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';

const initial: Migration = {
  version: 1,
  name: 'initial',
  statements: [
    `CREATE TABLE IF NOT EXISTS tasks (
      guid ${id}, domain ${id}, state TINYINT NOT NULL,
      created_at_ms ${time}, updated_at_ms ${time}, first_completed_at_ms ${time},
      cell_id ${id}, execution_guid ${id}, failed TINYINT(1) NOT NULL,
      rejection_count INT NOT NULL, next_attempt_at_ms ${time},
      callback_attempts INT NOT NULL, next_callback_at_ms ${time},
      definition_digest ${id}, detail LONGBLOB NOT NULL,
      PRIMARY KEY (guid)) ${options}`,
    `CREATE TABLE IF NOT EXISTS task_definitions (guid ${id}, payload LONGBLOB NOT NULL, PRIMARY KEY (guid)) ${options}`,
    `CREATE TABLE IF NOT EXISTS desired_lrps (
      process_guid ${id}, domain ${id}, instances INT NOT NULL, update_strategy TINYINT NOT NULL,
      tag_epoch ${id}, tag_index BIGINT NOT NULL, created_at_ms ${time},
      definition_digest ${id}, detail LONGBLOB NOT NULL,
      PRIMARY KEY (process_guid)) ${options}`,
    `CREATE TABLE IF NOT EXISTS lrp_run_infos (process_guid ${id}, payload LONGBLOB NOT NULL, PRIMARY KEY (process_guid)) ${options}`,
    `CREATE TABLE IF NOT EXISTS actual_lrps (
      process_guid ${id}, instance_index INT NOT NULL, generation ${id}, presence TINYINT NOT NULL,
      domain ${id}, state TINYINT NOT NULL, instance_guid ${id}, cell_id ${id},
      since_ms ${time}, started_at_ms ${time}, crash_count INT NOT NULL, next_restart_at_ms ${time},
      retired TINYINT(1) NOT NULL, routable TINYINT(1) NOT NULL, tag_epoch ${id}, tag_index BIGINT NOT NULL, detail LONGBLOB NOT NULL,
      PRIMARY KEY (process_guid, instance_index, generation)) ${options}`,
    `CREATE TABLE IF NOT EXISTS domains (domain ${id}, expires_at_ms ${time}, PRIMARY KEY (domain)) ${options}`,
    `CREATE TABLE IF NOT EXISTS cells (
      cell_id ${id}, incarnation ${id}, evacuating TINYINT(1) NOT NULL, missing TINYINT(1) NOT NULL,
      since_ms ${time}, detail LONGBLOB NOT NULL,
      PRIMARY KEY (cell_id)) ${options}`,
    `CREATE TABLE IF NOT EXISTS bbs_term (
      id TINYINT NOT NULL, epoch BIGINT NOT NULL, opening BIGINT NOT NULL, revision BIGINT NOT NULL,
      PRIMARY KEY (id)) ${options}`,
    'INSERT IGNORE INTO bbs_term (id, epoch, opening, revision) VALUES (1, 0, 0, 0)',
    `CREATE TABLE IF NOT EXISTS leases (
      lease_key ${id}, owner ${id}, type TINYINT NOT NULL, epoch BIGINT NOT NULL, expires_at_ms ${time},
      value LONGBLOB NOT NULL,
      PRIMARY KEY (lease_key)) ${options}`,
  ],
};

/** What is there already is plain. */
const encryption: Migration = {
  version: 2,
  name: 'encryption at rest',
  statements: [
    `CREATE TABLE IF NOT EXISTS encryption_status (
      label ${id}, key_check LONGBLOB NOT NULL, active TINYINT(1) NOT NULL,
      rows_left BIGINT NOT NULL, rows_rewritten BIGINT NOT NULL,
      entered_at_ms ${time}, surveyed_at_ms ${time}, finished_at_ms ${time},
      PRIMARY KEY (label)) ${options}`,
    `INSERT IGNORE INTO encryption_status
      (label, key_check, active, rows_left, rows_rewritten, entered_at_ms, surveyed_at_ms, finished_at_ms)
      VALUES ('', '', 1, -1, 0, 0, 0, 0)`,
    `CREATE TABLE IF NOT EXISTS bbs_turn (
      id TINYINT NOT NULL, opening BIGINT NOT NULL, turn BIGINT NOT NULL,
      PRIMARY KEY (id)) ${options}`,
    'INSERT IGNORE INTO bbs_turn (id, opening, turn) VALUES (1, -1, 0)',
    `CREATE TABLE IF NOT EXISTS quarantine (
      id BIGINT NOT NULL AUTO_INCREMENT, source_table ${id}, guid ${id}, row_key LONGBLOB NOT NULL,
      reason ${id}, quarantined_at_ms ${time}, superseded_at_ms ${time},
      other_columns LONGBLOB NOT NULL, stored LONGBLOB NOT NULL,
      PRIMARY KEY (id), KEY by_guid (source_table, guid)) ${options}`,
  ],
};

const handover: Migration = {
  version: 3,
  name: 'handing over',
  statements: [
    `CREATE TABLE IF NOT EXISTS bbs_handover (
      id TINYINT NOT NULL, record LONGBLOB NOT NULL,
      PRIMARY KEY (id)) ${options}`,
  ],
};

/** Codes are kept as digests: who reads the table can't log in with them. */
const ssh: Migration = {
  version: 4,
  name: 'ssh',
  statements: [
    `CREATE TABLE IF NOT EXISTS ssh_codes (
      digest ${id}, process_guid ${id}, made_by ${id}, expires_at_ms ${time},
      PRIMARY KEY (digest), KEY by_expiry (expires_at_ms)) ${options}`,
    `CREATE TABLE IF NOT EXISTS ssh_keys (
      fingerprint ${id}, public_key ${id}, name ${id}, process_guids LONGBLOB NOT NULL, expires_at_ms ${time},
      PRIMARY KEY (fingerprint)) ${options}`,
  ],
};

/** In order of version. */
export const MIGRATIONS: readonly Migration[] = [initial, encryption, handover, ssh];
