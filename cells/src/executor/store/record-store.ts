import type { ContainerRecord, RunRequest } from '../executor.js';

/** What a step remembers across restarts of the agent. */
export type MarkValue = string | number | boolean;

/** One line of a container's journal. */
export type JournalEntry =
  | { kind: 'record'; record: ContainerRecord }
  | { kind: 'request'; request: RunRequest }
  | { kind: 'mark'; key: string; value: MarkValue }
  /** Unpacked dependencies that are mounted into the container, as the download cache names them. */
  | { kind: 'dependencies'; names: string[] }
  | { kind: 'stopping' }
  | { kind: 'deleting' };

/** What a container's journal comes to. */
export interface StoredContainer {
  record: ContainerRecord;
  request?: RunRequest;
  marks: ReadonlyMap<string, MarkValue>;
  dependencies: readonly string[];
  /** It was told to stop. */
  stopping: boolean;
  /** It was told to go. */
  deleting: boolean;
}

/** Where containers are remembered. */
export interface RecordStore {
  /** What earlier executors left behind. Call once, first. */
  load(): Promise<{ stored: StoredContainer; journal: ContainerJournal }[]>;
  /** The journal of a new container; nothing is durable before the first `append`. */
  create(guid: string): ContainerJournal;
  /** Lets go of files; appends under way are finished first. */
  close(): Promise<void>;
}

/** What is remembered of one container. */
export interface ContainerJournal {
  /** Resolves when the entries are kept: over a power cut by default, over a crash of this program alone with `durable: false`. */
  append(entries: JournalEntry[], options?: { durable: boolean }): Promise<void>;
  /** Forgets the container. */
  remove(): Promise<void>;
}

/** The journal's meaning: later entries win. Undefined before the first record. */
export function fold(entries: Iterable<JournalEntry>): StoredContainer | undefined {
  const marks = new Map<string, MarkValue>();
  let record: ContainerRecord | undefined;
  let request: RunRequest | undefined;
  let dependencies: string[] = [];
  let stopping = false;
  let deleting = false;
  for (const entry of entries) {
    switch (entry.kind) {
      case 'record':
        record = entry.record;
        break;
      case 'request':
        request = entry.request;
        break;
      case 'mark':
        marks.set(entry.key, entry.value);
        break;
      case 'dependencies':
        dependencies = entry.names;
        break;
      case 'stopping':
        stopping = true;
        break;
      case 'deleting':
        deleting = true;
        break;
    }
  }
  return record && { record, ...(request && { request }), marks, dependencies, stopping, deleting };
}

/** The shortest journal with the same meaning. */
export function unfold(stored: StoredContainer): JournalEntry[] {
  const entries: JournalEntry[] = [{ kind: 'record', record: stored.record }];
  if (stored.request) entries.push({ kind: 'request', request: stored.request });
  for (const [key, value] of stored.marks) entries.push({ kind: 'mark', key, value });
  if (stored.dependencies.length > 0) entries.push({ kind: 'dependencies', names: [...stored.dependencies] });
  if (stored.stopping) entries.push({ kind: 'stopping' });
  if (stored.deleting) entries.push({ kind: 'deleting' });
  return entries;
}
