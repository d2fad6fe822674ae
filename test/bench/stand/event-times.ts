import { BinaryReader } from '@bufbuild/protobuf/wire';

/** Fields of WatchResponse, Event and Timestamp, as their tags on the wire. */
const RESPONSE_EVENTS = (3 << 3) | 2;
const EVENT_TIME = (2 << 3) | 2;
const SECONDS = 1 << 3;
const NANOS = 2 << 3;

/**
 * When each event of an encoded WatchResponse was decided, in milliseconds of the Unix epoch. Their records are skipped: what fifty
 * watchers in one process would spend on making objects of them is not the server's.
 */
export function* eventTimesMs(response: Uint8Array): Generator<number> {
  for (const event of fieldsOf(response, RESPONSE_EVENTS)) {
    for (const time of fieldsOf(event, EVENT_TIME)) yield millisecondsOf(time);
  }
}

function* fieldsOf(message: Uint8Array, wanted: number): Generator<Uint8Array> {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === wanted) yield reader.bytes();
    else reader.skip(tag & 7);
  }
}

function millisecondsOf(timestamp: Uint8Array): number {
  const reader = new BinaryReader(timestamp);
  let ms = 0;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === SECONDS) ms += Number(reader.int64()) * 1000;
    else if (tag === NANOS) ms += reader.int32() / 1e6;
    else reader.skip(tag & 7);
  }
  return ms;
}
