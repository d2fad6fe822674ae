/** Limits of one message of output. */
const MAX_ENTRIES = 256;
const MAX_BYTES = 64 * 1024;

/** Entries that are there together, together: a message costs much more than an entry. What is slow is not waited for. */
export async function* batches<T extends { data: Buffer }>(entries: AsyncIterable<T>): AsyncGenerator<T[]> {
  const source = entries[Symbol.asyncIterator]();
  let next = source.next();
  try {
    for (;;) {
      const first = await next;
      if (first.done) return;
      const batch = [first.value];
      let bytes = first.value.data.length;
      next = source.next();
      while (batch.length < MAX_ENTRIES && bytes < MAX_BYTES) {
        const more = await Promise.race([next, aTurn()]);
        if (!more || more.done) break;
        batch.push(more.value);
        bytes += more.value.data.length;
        next = source.next();
      }
      yield batch;
    }
  } finally {
    // Whoever stops reading isn't told of a failure any more.
    next.catch(() => undefined);
    void source.return?.();
  }
}

function aTurn(): Promise<undefined> {
  return new Promise((resolve) => setImmediate(resolve, undefined));
}
