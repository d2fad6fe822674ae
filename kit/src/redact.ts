const CENSORED = '[redacted]';

/** Keys whose value is a secret whatever it is, compared without case, "_" and "-". */
const SECRET_KEYS = new Set([
  'password',
  'imagepassword',
  'passphrase',
  'secret',
  'clientsecret',
  'token',
  'accesstoken',
  'refreshtoken',
  'key',
  'keypem',
  'privatekey',
  'encryptionkey',
  'apikey',
  'authorization',
  'cookie',
  'diegossh',
]);

/** Lists of {name, value}: the names may be read, the values not. */
const ENVIRONMENT_KEYS = new Set(['env', 'environment', 'environmentvariables', 'globalenv']);

/** Deeper and larger than anything worth a line of log; also what ends a cycle. */
const MAX_DEPTH = 10;
const MAX_OBJECTS = 2000;

/** A copy without secrets; what holds none is returned as it is. */
export function redact(value: unknown): unknown {
  let objects = 0;

  function walk(inner: unknown, depth: number): unknown {
    if (typeof inner !== 'object' || inner === null || ArrayBuffer.isView(inner) || inner instanceof Date) return inner;
    // Errors are the business of the "err" serializer, which comes back here with a plain object.
    if (inner instanceof Error) return inner;
    if (depth > MAX_DEPTH || ++objects > MAX_OBJECTS) return '[left out]';
    if (inner instanceof Map) return walk(Object.fromEntries(inner), depth);
    if (Array.isArray(inner)) {
      const copy = inner.map((item) => walk(item, depth + 1));
      return copy.every((item, index) => item === inner[index]) ? inner : copy;
    }
    let copy: Record<string, unknown> | undefined;
    for (const [key, field] of Object.entries(inner)) {
      const clean = cleanField(key, field, depth);
      if (clean === field) continue;
      copy ??= { ...inner };
      copy[key] = clean;
    }
    return copy ?? inner;
  }

  function cleanField(key: string, field: unknown, depth: number): unknown {
    const plain = key.replaceAll(/[-_]/g, '').toLowerCase();
    if (SECRET_KEYS.has(plain)) return field === undefined || field === '' ? field : CENSORED;
    if (ENVIRONMENT_KEYS.has(plain)) return redactEnvironment(field);
    return walk(field, depth + 1);
  }

  return walk(value, 0);
}

/** The three shapes in which environments come: "NAME=value", [{name, value}] and {NAME: value}. */
function redactEnvironment(value: unknown): unknown {
  if (typeof value === 'string') return value.replace(/=.*/s, `=${CENSORED}`);
  if (Array.isArray(value)) {
    return value.slice(0, MAX_OBJECTS).map((item: unknown) => {
      if (typeof item === 'object' && item !== null && 'name' in item) return { name: item.name, value: CENSORED };
      return typeof item === 'string' ? redactEnvironment(item) : CENSORED;
    });
  }
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.keys(value).map((name) => [name, CENSORED]));
  }
  return value;
}

/** Takes the password out of every URL in a line, as in mysql://user:password@host. */
export function redactText(text: string): string {
  return text.includes('://') ? text.replaceAll(/:\/\/([^\s:/?#@"]*):([^\s/?#"]*)@/g, `://$1:${CENSORED}@`) : text;
}
