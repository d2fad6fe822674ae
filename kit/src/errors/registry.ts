import { status } from '@grpc/grpc-js';

/** What the registry knows of one reason. */
export interface ErrorSpec {
  /** gRPC status code. */
  readonly code: number;
  /** The same request may succeed later without a change by the caller. */
  readonly retryable: boolean;
  /** Number of Diego's models.Error that stands for it (spec bbs §2.6). */
  readonly diegoType?: number;
  /** For the reader of the documentation. */
  readonly meaning: string;
}

const notFound = (meaning: string): ErrorSpec => ({
  code: status.NOT_FOUND,
  retryable: false,
  diegoType: 13,
  meaning,
});
const refused = (diegoType: number, meaning: string): ErrorSpec => ({
  code: status.FAILED_PRECONDITION,
  retryable: false,
  diegoType,
  meaning,
});
const unavailable = (meaning: string): ErrorSpec => ({ code: status.UNAVAILABLE, retryable: true, meaning });

const registry = {
  // Tasks
  TASK_NOT_FOUND: notFound('No Task has this guid.'),
  TASK_EXISTS: {
    code: status.ALREADY_EXISTS,
    retryable: false,
    diegoType: 12,
    meaning: 'Another Task with this guid exists, and its definition differs.',
  },
  INVALID_STATE_TRANSITION: refused(9, 'The Task is not in a state that allows this.'),
  TASK_HAS_NO_CALLBACK: {
    code: status.FAILED_PRECONDITION,
    retryable: false,
    meaning: 'The Task has no completion callback that could be tried again.',
  },
  RUNNING_ON_DIFFERENT_CELL: refused(24, 'The Task runs on another cell than the one that reports on it.'),

  // Desired LRPs
  DESIRED_LRP_NOT_FOUND: notFound('No desired LRP has this process guid.'),
  DESIRED_LRP_EXISTS: {
    code: status.ALREADY_EXISTS,
    retryable: false,
    diegoType: 12,
    meaning: 'Another desired LRP with this process guid exists, and its content differs.',
  },
  DESIRED_LRP_CONFLICT: {
    code: status.ABORTED,
    retryable: false,
    diegoType: 11,
    meaning: 'The desired LRP has changed since it was read: read it again and repeat the change.',
  },

  // Actual LRPs
  ACTUAL_LRP_NOT_FOUND: notFound('The slot has no such instance.'),
  ACTUAL_LRP_CANNOT_BE_CLAIMED: refused(15, 'The instance is not free for this cell: it has to be given up there.'),
  ACTUAL_LRP_CANNOT_BE_STARTED: refused(16, 'Another instance runs in this slot: this one has to be stopped.'),
  ACTUAL_LRP_CANNOT_BE_CRASHED: refused(17, 'The instance that crashed is not the one in this slot.'),
  ACTUAL_LRP_CANNOT_BE_FAILED: refused(18, 'Only an unclaimed instance can fail to be placed.'),
  ACTUAL_LRP_CANNOT_BE_REMOVED: refused(19, 'The instance in this slot is another one, or in another state.'),
  ACTUAL_LRP_CANNOT_BE_MOVED: {
    code: status.FAILED_PRECONDITION,
    retryable: false,
    meaning:
      'Only an instance that runs undisturbed in its slot can be moved; of a RECREATE LRP only while all others run.',
  },
  ACTUAL_LRP_CANNOT_BE_UNCLAIMED: refused(21, 'The instance in this slot is another one, or in another state.'),

  // Cells
  CELL_NOT_FOUND: notFound('No cell has this id.'),
  CELL_IS_PRESENT: {
    code: status.FAILED_PRECONDITION,
    retryable: false,
    meaning: 'The cell is heard of: only one that is silent can be declared missing.',
  },
  CELL_MISMATCH: {
    code: status.PERMISSION_DENIED,
    retryable: false,
    meaning: 'The certificate belongs to another cell than the one that the request speaks for.',
  },
  CELL_UNREACHABLE: unavailable('The cell that holds the container can not be reached.'),
  SESSION_REPLACED: {
    code: status.ABORTED,
    retryable: false,
    meaning: 'The cell has opened a newer session, which ended this one.',
  },

  // The servers
  NOT_LEADER: unavailable('This server stands by; metadata leader_address names the active one, when known.'),
  SHUTTING_DOWN: unavailable('The server is closing: connect again, to it or to another one.'),
  DATABASE_UNAVAILABLE: unavailable('The database does not answer; nothing was changed.'),
  OUTCOME_UNKNOWN: {
    code: status.UNKNOWN,
    retryable: false,
    meaning:
      'The connection to the database broke during the commit: the change may or may not have been made. Read first.',
  },
  STALE_EPOCH: {
    code: status.FAILED_PRECONDITION,
    retryable: false,
    meaning: 'The sender acts on a lease that somebody else holds by now.',
  },
  LOCK_HELD: {
    code: status.ALREADY_EXISTS,
    retryable: true,
    diegoType: 30,
    meaning: 'Another owner has the lock.',
  },
  LOCK_NOT_FOUND: notFound('No lock or presence has this key, or it has expired.'),

  // Watching
  RESUME_TOKEN_TOO_OLD: {
    code: status.OUT_OF_RANGE,
    retryable: false,
    meaning: 'The events after this token are not kept any more: start again with a snapshot.',
  },
  WATCHER_TOO_SLOW: {
    code: status.RESOURCE_EXHAUSTED,
    retryable: true,
    meaning: 'The watcher fell too far behind and was cut off: resume with the last token.',
  },

  // Containers
  CONTAINER_NOT_FOUND: notFound('The cell has no such container.'),
  CONTAINER_NOT_READY: {
    code: status.FAILED_PRECONDITION,
    retryable: true,
    meaning: 'The container is not running yet, or not any more.',
  },
  FILE_NOT_FOUND: notFound('No such file or folder in the container.'),
  CONNECT_FAILED: {
    code: status.FAILED_PRECONDITION,
    retryable: false,
    meaning: "No connection came about inside the container's network; the message has the reason.",
  },
  SSH_KEY_NOT_FOUND: notFound('No public key with this fingerprint is registered.'),
  SSH_KEYS_EXHAUSTED: {
    code: status.RESOURCE_EXHAUSTED,
    retryable: false,
    meaning: 'As many public keys are registered as there may be: remove one first.',
  },
  EXEC_FAILED: {
    code: status.FAILED_PRECONDITION,
    retryable: false,
    meaning: 'The process could not be started in the container.',
  },

  // The garden of a cell
  CONTAINER_EXISTS: {
    code: status.ALREADY_EXISTS,
    retryable: false,
    meaning: 'The cell has a container with this handle, or is still taking one away.',
  },
  CONTAINER_MANAGED: {
    code: status.FAILED_PRECONDITION,
    retryable: false,
    meaning: 'The cell made this container for a Task or an LRP: it is changed and ended through the BBS.',
  },
  CONTAINER_NOT_MADE: {
    code: status.UNAVAILABLE,
    retryable: true,
    meaning: 'The runtime, the network or the disk failed while the container was made; nothing is left of it.',
  },
  CONTAINER_NOT_DESTROYED: {
    code: status.UNAVAILABLE,
    retryable: true,
    meaning: 'Something of the container could not be taken away: ask again.',
  },
  TOO_MANY_CONTAINERS: {
    code: status.RESOURCE_EXHAUSTED,
    retryable: true,
    meaning: 'The cell has as many containers as it can hold.',
  },
  NO_PORTS: {
    code: status.RESOURCE_EXHAUSTED,
    retryable: true,
    meaning: 'Too few host ports of the range are free.',
  },
  ROOT_FS_NOT_FOUND: notFound('The cell has no root filesystem of this name.'),
  IMAGE_FAILED: {
    code: status.FAILED_PRECONDITION,
    retryable: true,
    meaning: 'The image could not be fetched or unpacked.',
  },
  NOT_SUPPORTED: {
    code: status.FAILED_PRECONDITION,
    retryable: false,
    meaning: 'The cell can not do this, or is configured not to.',
  },
  PROPERTY_NOT_FOUND: notFound('The container has no property of this name.'),
  PROCESS_NOT_FOUND: notFound('The container never had a process of this id.'),
  PROCESS_EXISTS: {
    code: status.ALREADY_EXISTS,
    retryable: false,
    meaning: 'The container had a process of this id before; an id is used once.',
  },
  NO_STDIN: {
    code: status.FAILED_PRECONDITION,
    retryable: false,
    meaning: 'The process was run without standard input.',
  },
  LIMIT_REFUSED: {
    code: status.FAILED_PRECONDITION,
    retryable: true,
    meaning: 'The kernel refuses the limit, as more is in use; nothing has changed.',
  },
  RUNTIME_UNAVAILABLE: unavailable("The cell can not make containers now: its runtime or its disk doesn't work."),

  // Any call
  INVALID_REQUEST: {
    code: status.INVALID_ARGUMENT,
    retryable: false,
    diegoType: 4,
    meaning: 'The request breaks rules; BadRequest lists every violation.',
  },
  UNAUTHENTICATED: {
    code: status.UNAUTHENTICATED,
    retryable: false,
    meaning: 'The certificate names no role that Rivera knows.',
  },
  PERMISSION_DENIED: {
    code: status.PERMISSION_DENIED,
    retryable: false,
    meaning: "The certificate's role may not call this method.",
  },
  TOO_MANY_REQUESTS: {
    code: status.RESOURCE_EXHAUSTED,
    retryable: true,
    meaning: 'A queue is full: wait as RetryInfo says.',
  },
  MESSAGE_TOO_LARGE: {
    code: status.RESOURCE_EXHAUSTED,
    retryable: false,
    meaning: 'A message is larger than its receiver accepts.',
  },
  DEADLINE_EXCEEDED: {
    code: status.DEADLINE_EXCEEDED,
    retryable: true,
    diegoType: 31,
    meaning: 'No answer in time; the request may still have had its effect.',
  },
  CANCELLED: { code: status.CANCELLED, retryable: false, meaning: 'The caller gave up.' },
  UNAVAILABLE: unavailable('No connection, or it broke before the answer came.'),
  UNIMPLEMENTED: {
    code: status.UNIMPLEMENTED,
    retryable: false,
    meaning: 'The server does not know this method: it is of another version.',
  },
  INTERNAL: {
    code: status.INTERNAL,
    retryable: false,
    diegoType: 0,
    meaning: 'A bug; the log of the server tells more.',
  },
} satisfies Record<string, ErrorSpec>;

export type ErrorReason = keyof typeof registry;

/** Every reason that a Rivera program answers with: the one place where errors meet gRPC. */
export const ERRORS: { readonly [R in ErrorReason]: ErrorSpec } = registry;

/** Tells a reason of this registry from one that a newer server may send. */
export function isErrorReason(reason: string): reason is ErrorReason {
  return Object.hasOwn(ERRORS, reason);
}
