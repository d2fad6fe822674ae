const MAX_REASON_BYTES = 1024;
const MARK = '(truncated)';

/** Reasons are stored in fewer than 1,024 bytes (spec bbs §8.6), or fewer than `limit`, cut between characters. */
export function truncateReason(reason: string, limit = MAX_REASON_BYTES): string {
  const bytes = Buffer.from(reason, 'utf8');
  if (bytes.length < limit) return reason;
  let end = limit - MARK.length;
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end) + MARK;
}
