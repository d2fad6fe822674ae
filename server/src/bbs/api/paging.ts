import { RiveraError } from '@rivera/kit/errors';
import { PART_BYTES } from './weight.js';

/** Bounds of one list method. */
export interface PageBounds {
  readonly defaultSize: number;
  readonly maxSize: number;
}

/** The number of records on a page. @throws INVALID_REQUEST beyond the bounds */
export function pageSize(asked: number, bounds: PageBounds): number {
  if (asked === 0) return bounds.defaultSize;
  if (asked < 0 || asked > bounds.maxSize) {
    throw invalid('page_size', `must be 0..${bounds.maxSize}`);
  }
  return asked;
}

/** A page token says behind which key to go on. */
export function encodePageToken(lastKey: string): string {
  return Buffer.from(`1:${lastKey}`).toString('base64url');
}

/** The key behind which to go on; '' for the first page. @throws INVALID_REQUEST for a token that is not ours */
export function decodePageToken(token: string): string {
  if (token === '') return '';
  const text = Buffer.from(token, 'base64url').toString();
  if (!text.startsWith('1:') || encodePageToken(text.slice(2)) !== token) {
    throw invalid('page_token', 'was not made by this service');
  }
  return text.slice(2);
}

/** How a page is cut. */
export interface PageCut<Row> {
  readonly size: number;
  keyOf(row: Row): string;
  /** About how many bytes a row takes: a page also ends when it is large. Default: they do not count. */
  weigh?(row: Row): number;
}

/** Takes a page from rows in order of key; the token is empty when nothing follows. */
export function takePage<Row>(rows: Iterable<Row>, cut: PageCut<Row>): { page: Row[]; nextPageToken: string } {
  const page: Row[] = [];
  let bytes = 0;
  for (const row of rows) {
    const last = page[page.length - 1];
    if (last !== undefined && (page.length === cut.size || bytes >= PART_BYTES)) {
      return { page, nextPageToken: encodePageToken(cut.keyOf(last)) };
    }
    page.push(row);
    bytes += cut.weigh?.(row) ?? 0;
  }
  return { page, nextPageToken: '' };
}

function invalid(field: string, description: string): RiveraError {
  return new RiveraError('INVALID_REQUEST', `${field} ${description}`, { violations: [{ field, description }] });
}
