type Scalar = Date | Uint8Array | string | number | boolean | undefined;

/** A message as callers write it: every member may be left out and then has its default. */
export type Input<T> = T extends Scalar
  ? T
  : T extends ReadonlyArray<infer U>
    ? Input<U>[]
    : T extends { $case: infer C; value: infer V }
      ? { $case: C; value: Input<V> }
      : { [K in Exclude<keyof T, '_unknownFields'>]?: Input<T[K]> | undefined };

/** What the type of a method's request becomes in a list's filter: the paging is the SDK's affair. */
export type Filter<Q> = Omit<Input<Q>, 'pageToken'>;

/** How one call is made. */
export interface CallOptions {
  /** Gives the call up when aborted. */
  signal?: AbortSignal | undefined;
  /** Time for the call with all its attempts, in milliseconds; default: the client's. */
  deadlineMs?: number | undefined;
}
