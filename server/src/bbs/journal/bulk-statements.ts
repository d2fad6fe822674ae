import type { DetailCodec } from '../../database/detail-codec.js';
import { sqlName } from '../../database/sql-text.js';
import type { RowCodec } from './row-codec.js';

export interface BulkLimits {
  /** A statement is sent when it has grown to so many characters. */
  readonly targetChars: number;
  /** The server takes no statement of more bytes. */
  readonly maxPacketBytes: number;
}

/** Keys in one DELETE: the optimizer's memory for ranges is bounded (8 MiB in MySQL), and past it a delete scans the table. */
const MAX_DELETED_KEYS = 500;

/** One row is larger than what the server takes. */
export class RowTooLargeError extends RangeError {}

/**
 * The statements that write rows, made one by one as they are asked for: while the server works on one, the next is being made.
 * @throws RowTooLargeError, RangeError
 */
export function* upsertStatements<Row>(
  rows: RowCodec<Row>,
  images: Iterable<Row>,
  codec: DetailCodec,
  limits: BulkLimits,
): Generator<string> {
  const { head, tail } = upsertFrame(rows);
  let values = '';
  for (const image of images) {
    const value = `(${rows.write(image, codec)})`;
    const bytes = value.length > limits.targetChars ? Buffer.byteLength(value) : 0;
    if (bytes + head.length + tail.length + 1024 > limits.maxPacketBytes) {
      throw new RowTooLargeError(
        `a row of ${bytes} bytes for ${rows.table} is larger than the database takes (${limits.maxPacketBytes} bytes, max_allowed_packet)`,
      );
    }
    // A large row goes alone, so that no statement is larger than what has been checked.
    if (bytes > 0 && values !== '') {
      yield head + values + tail;
      values = '';
    }
    values = values === '' ? value : `${values},${value}`;
    if (values.length >= limits.targetChars) {
      yield head + values + tail;
      values = '';
    }
  }
  if (values !== '') yield head + values + tail;
}

/** The statements that delete rows by their keys. */
export function* deleteStatements<Row>(rows: RowCodec<Row>, keys: Iterable<readonly string[]>): Generator<string> {
  let some: (readonly string[])[] = [];
  for (const key of keys) {
    some.push(key);
    if (some.length >= MAX_DELETED_KEYS) {
      yield deletion(rows, some);
      some = [];
    }
  }
  if (some.length > 0) yield deletion(rows, some);
}

/** Keys of several columns are written out: MariaDB uses no index for a list of them. */
function deletion<Row>(rows: RowCodec<Row>, keys: readonly (readonly string[])[]): string {
  const head = `DELETE FROM ${sqlName(rows.table)} WHERE`;
  const [only, second] = rows.keyColumns;
  if (only !== undefined && second === undefined) return `${head} ${sqlName(only)} IN (${keys.flat().join(',')})`;
  const conditions = keys.map((key) =>
    key.map((literal, position) => `${sqlName(rows.keyColumns[position] ?? '')}=${literal}`).join(' AND '),
  );
  return `${head} (${conditions.join(') OR (')})`;
}

const frames = new WeakMap<object, { head: string; tail: string }>();

function upsertFrame<Row>(rows: RowCodec<Row>): { head: string; tail: string } {
  let frame = frames.get(rows);
  if (frame === undefined) {
    const updates = rows.columns
      .filter((column) => !rows.keyColumns.includes(column))
      .map((column) => `${sqlName(column)}=VALUES(${sqlName(column)})`);
    frame = {
      head: `INSERT INTO ${sqlName(rows.table)} (${rows.columns.map(sqlName).join(',')}) VALUES `,
      tail: ` ON DUPLICATE KEY UPDATE ${updates.join(',')}`,
    };
    frames.set(rows, frame);
  }
  return frame;
}
