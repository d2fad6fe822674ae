import { RiveraError } from '@rivera/kit/errors';

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

/** Takes a page from rows in order of key; the token is empty when nothing follows. */
export function takePage<Row>(
  rows: Iterable<Row>,
  size: number,
  keyOf: (row: Row) => string,
): { page: Row[]; nextPageToken: string } {
  const page: Row[] = [];
  for (const row of rows) {
    if (page.length === size) return { page, nextPageToken: encodePageToken(keyOf(page[size - 1] as Row)) };
    page.push(row);
  }
  return { page, nextPageToken: '' };
}

function invalid(field: string, description: string): RiveraError {
  return new RiveraError('INVALID_REQUEST', `${field} ${description}`, { violations: [{ field, description }] });
}
