import { InternalError } from '../errors.js';

/** One page of a list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Token of the next page; empty: this was the last. */
  readonly next: string;
}

/** Walks through a list, fetching a page when it is needed and not before. */
export async function* paged<T>(
  fetchPage: (pageToken: string) => Promise<Page<T>>,
): AsyncGenerator<T, void, undefined> {
  for (let token = ''; ; ) {
    const page = await fetchPage(token);
    yield* page.items;
    if (page.next === '') return;
    if (page.next === token) throw new InternalError({ message: 'the server sent the same page token twice' });
    token = page.next;
  }
}
