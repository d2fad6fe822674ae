import { RiveraError } from '@rivera/kit/errors';

const USUAL_PAGE = 500;
const LARGEST_PAGE = 1_000;

/**
 * One page of entries in order of guid. The token is the last guid of the page before, so entries that come and go between
 * two pages neither shift nor repeat the others.
 */
export function page<Entry>(
  entries: Iterable<Entry>,
  guidOf: (entry: Entry) => string,
  request: { pageSize: number; pageToken: string },
): { entries: Entry[]; nextPageToken: string } {
  const { pageSize } = request;
  if (pageSize < 0 || pageSize > LARGEST_PAGE) {
    throw new RiveraError('INVALID_REQUEST', `page size ${pageSize} is not within 0..${LARGEST_PAGE}`, {
      violations: [{ field: 'page_size', description: `is within 0..${LARGEST_PAGE}` }],
    });
  }
  const after = Buffer.from(request.pageToken, 'base64url').toString();
  const rest = [...entries].filter((entry) => guidOf(entry) > after);
  rest.sort((a, b) => (guidOf(a) < guidOf(b) ? -1 : 1));
  const size = pageSize || USUAL_PAGE;
  const last = rest.length > size ? rest[size - 1] : undefined;
  return {
    entries: rest.slice(0, size),
    nextPageToken: last === undefined ? '' : Buffer.from(guidOf(last)).toString('base64url'),
  };
}
