/**
 * The cold part of a row is one JSON document without its empty members. Protobuf messages stand in it as base64 of their encoding:
 * fields that a newer peer sent and this program doesn't know survive that, and would not survive JSON.
 */

/** What ts-proto makes of a message. */
interface MessageType<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(input: Uint8Array): T;
}

export type Detail = Record<string, unknown>;

/** No text at all when there is nothing to store: encryption then has nothing to do. */
export function writeDocument(detail: Detail): string {
  return hasMembers(detail) ? JSON.stringify(detail) : '';
}

export function readDocument(text: string): Detail {
  return text === '' ? {} : (JSON.parse(text) as Detail);
}

export function writeMessage<T>(type: MessageType<T>, message: T): string {
  const bytes = type.encode(message).finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

export function readMessage<T>(type: MessageType<T>, stored: unknown): T {
  return type.decode(Buffer.from(textMember(stored), 'base64'));
}

export function textMember(member: unknown): string {
  return typeof member === 'string' ? member : '';
}

export function numberMember(member: unknown): number {
  return typeof member === 'number' ? member : 0;
}

export function listMember(member: unknown): unknown[] {
  return Array.isArray(member) ? member : [];
}

export function entriesMember(member: unknown): [string, unknown][] {
  return typeof member === 'object' && member !== null ? Object.entries(member) : [];
}

/** True when a list or record has anything to store. */
export function hasMembers(value: object): boolean {
  for (const _ in value) return true;
  return false;
}
