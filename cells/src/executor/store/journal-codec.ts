import { Action, CheckDefinition } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec, Sidecar } from '@rivera/gen/rivera/recipe/v1/container';
import type { RunRequest } from '../executor.js';
import type { JournalEntry } from './record-store.js';

/** One journal entry as one line of JSON. Messages are kept in their wire form, so that no field is lost on the way. */
export function encodeEntry(entry: JournalEntry): string {
  return JSON.stringify(entry.kind === 'request' ? { kind: 'request', request: encodeRequest(entry.request) } : entry);
}

/** @throws Error when the line is not an entry */
export function decodeEntry(line: string): JournalEntry {
  const entry: unknown = JSON.parse(line);
  if (typeof entry !== 'object' || entry === null || !('kind' in entry)) throw new Error('not a journal entry');
  if (entry.kind === 'request')
    return { kind: 'request', request: decodeRequest((entry as EncodedRequestEntry).request) };
  return entry as JournalEntry;
}

interface EncodedRequestEntry {
  kind: 'request';
  request: EncodedRequest;
}

type EncodedRequest = Omit<
  RunRequest,
  'container' | 'setup' | 'action' | 'monitor' | 'checkDefinition' | 'sidecars'
> & {
  container: string;
  setup?: string;
  action: string;
  monitor?: string;
  checkDefinition?: string;
  sidecars: string[];
};

interface Message<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(input: Uint8Array): T;
}

function pack<T>(type: Message<T>, message: T): string {
  return Buffer.from(type.encode(message).finish()).toString('base64');
}

function unpack<T>(type: Message<T>, text: string): T {
  return type.decode(Buffer.from(text, 'base64'));
}

function encodeRequest(request: RunRequest): EncodedRequest {
  const { container, setup, action, monitor, checkDefinition, sidecars, ...plain } = request;
  return {
    ...plain,
    container: pack(ContainerSpec, container),
    ...(setup && { setup: pack(Action, setup) }),
    action: pack(Action, action),
    ...(monitor && { monitor: pack(Action, monitor) }),
    ...(checkDefinition && { checkDefinition: pack(CheckDefinition, checkDefinition) }),
    sidecars: sidecars.map((sidecar) => pack(Sidecar, sidecar)),
  };
}

function decodeRequest(encoded: EncodedRequest): RunRequest {
  const { container, setup, action, monitor, checkDefinition, sidecars, ...plain } = encoded;
  return {
    ...plain,
    container: unpack(ContainerSpec, container),
    ...(setup !== undefined && { setup: unpack(Action, setup) }),
    action: unpack(Action, action),
    ...(monitor !== undefined && { monitor: unpack(Action, monitor) }),
    ...(checkDefinition !== undefined && { checkDefinition: unpack(CheckDefinition, checkDefinition) }),
    sidecars: sidecars.map((sidecar) => unpack(Sidecar, sidecar)),
  };
}
