/**
 * SQL literals for bulk statements. The driver's own formatting costs several times as much a row; these few functions are all that
 * the journal needs. They hold for connections in utf8mb4 without NO_BACKSLASH_ESCAPES, which `pool.ts` sees to.
 */

const SPECIAL = /['\\\0]/;
const EACH_SPECIAL = /['\\\0]/g;

export function sqlString(text: string): string {
  return SPECIAL.test(text) ? `'${text.replace(EACH_SPECIAL, escaped)}'` : `'${text}'`;
}

function escaped(character: string): string {
  return character === '\0' ? '\\0' : `\\${character}`;
}

/** @throws RangeError for what is no whole number, as SQL would round it in silence */
export function sqlInteger(value: number): string {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a whole number that the database can hold`);
  return `${value}`;
}

export function sqlBoolean(value: boolean): string {
  return value ? '1' : '0';
}

/** Bytes as a hexadecimal literal: twice their size on the wire, but never in need of escaping. */
export function sqlBytes(bytes: Uint8Array): string {
  return `x'${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}'`;
}

/** An identifier in backquotes. */
export function sqlName(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}
