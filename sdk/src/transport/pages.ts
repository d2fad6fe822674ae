import { InternalError } from '../errors.js';

/** One page of a list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Token of the next page; empty: this was the last. */
  readonly next: string;
}

/**
 * Walks through a list. The second page is fetched when it is needed and not before, as many read no further than the first; whoever
 * goes on has the next one fetched while reading this.
 */
export async function* paged<T>(
  fetchPage: (pageToken: string) => Promise<Page<T>>,
): AsyncGenerator<T, void, undefined> {
  let page = await fetchPage('');
  for (let number = 1; ; number++) {
    const { items, next } = page;
    const ahead = number > 1 && next !== '' ? fetchPage(next) : undefined;
    // Told when it is its turn; by then the reader may have gone.
    ahead?.catch(() => undefined);
    yield* items;
    if (next === '') return;
    page = await (ahead ?? fetchPage(next));
    if (page.next === next) throw new InternalError({ message: 'the server sent the same page token twice' });
  }
}
