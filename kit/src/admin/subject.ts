/** Fields that say what a request is about, by the field that makes them mean it. */
const SUBJECTS: readonly { readonly field: string; readonly with: readonly string[] }[] = [
  { field: 'taskGuid', with: ['domain', 'executionGuid'] },
  { field: 'processGuid', with: ['index', 'instanceGuid', 'domain'] },
  { field: 'instanceGuid', with: [] },
  { field: 'containerGuid', with: [] },
  { field: 'handle', with: ['processId', 'path', 'user'] },
  { field: 'domain', with: [] },
  { field: 'cellId', with: ['zone'] },
  { field: 'auctioneerId', with: ['epoch'] },
  // The word "key" is for secrets, and loggers take it out.
  { field: 'key', with: ['owner'] },
];
const NAMES: Readonly<Record<string, string>> = { key: 'lock' };

/** What is done to it; arguments and environment may hold secrets and are never looked at. */
const BESIDE_TARGET = ['path', 'user'];

const MAX_DEPTH = 8;
const MAX_TEXT = 256;

export type Subject = Readonly<Record<string, string | number>>;

/**
 * What a request names: guids, domain, cell, lock. The fields nearest to its top win, and nothing else of the request is copied,
 * so that no secret gets anywhere through here.
 */
export function subjectOf(message: unknown): Subject {
  const subject: Record<string, string | number> = {};
  let level: object[] = isPlain(message) ? [message] : [];
  for (let depth = 0; depth < MAX_DEPTH && level.length > 0; depth++) {
    const found = level.map((each) => takeFrom(unfold(each), subject)).some((some) => some);
    if (found) break;
    level = level.flatMap((each) => Object.values(each).filter(isPlain));
  }
  return subject;
}

/** Whether the object says what the request is about. */
function takeFrom(fields: Readonly<Record<string, unknown>>, into: Record<string, string | number>): boolean {
  if ('target' in fields) for (const name of BESIDE_TARGET) copy(fields, name, into);
  const subject = SUBJECTS.find(({ field }) => isNaming(fields[field]));
  if (subject === undefined) return false;
  for (const name of [subject.field, ...subject.with]) copy(fields, name, into);
  return true;
}

/** One of several: its name and value stand for a field. */
function unfold(each: object): Readonly<Record<string, unknown>> {
  const fields: Record<string, unknown> = { ...each };
  if (typeof fields.$case === 'string') fields[fields.$case] = fields.value;
  return fields;
}

function copy(fields: Readonly<Record<string, unknown>>, name: string, into: Record<string, string | number>): void {
  const value = fields[name];
  if (isNaming(value)) into[NAMES[name] ?? name] = typeof value === 'string' ? value.slice(0, MAX_TEXT) : value;
}

function isNaming(value: unknown): value is string | number {
  return typeof value === 'number' || (typeof value === 'string' && value !== '');
}

function isPlain(value: unknown): value is object {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !ArrayBuffer.isView(value) &&
    !(value instanceof Date)
  );
}
