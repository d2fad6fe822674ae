import { z } from 'zod';
import { formatDuration, formatSize, type QuantityKind } from './quantities.js';

/** One key of a configuration that holds a value and not more keys. */
export interface ConfigKey {
  readonly path: readonly string[];
  /** Name of the environment variable that overrides it. */
  readonly variable: string;
  readonly kind: 'string' | 'number' | 'boolean' | 'list' | 'map' | QuantityKind;
  /** For the documentation, as in "string" or "debug \| info". */
  readonly type: string;
  readonly required: boolean;
  /** As one would write it in the file; undefined: none. */
  readonly defaultText: string | undefined;
  readonly meaning: string;
}

export const DEFAULT_PREFIX = 'RIVERA_';

/** Every key of a schema, nested objects opened, in the order of the schema. */
export function configKeys(schema: z.ZodObject, prefix = DEFAULT_PREFIX): ConfigKey[] {
  const keys = walk(schema, [], prefix);
  const seen = new Map<string, string>();
  for (const { variable, path } of keys) {
    const other = seen.get(variable);
    if (other !== undefined) throw new Error(`${other} and ${path.join('.')} share the variable ${variable}`);
    seen.set(variable, path.join('.'));
  }
  return keys;
}

/** `database.leaseTtl` → RIVERA_DATABASE_LEASE_TTL. */
export function variableOf(path: readonly string[], prefix: string): string {
  return (
    prefix +
    path
      .map((key) => key.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2').replaceAll('-', '_'))
      .join('_')
      .toUpperCase()
  );
}

/** The object behind optional, default and the like, if there is one. */
export function objectOf(schema: z.core.$ZodType | undefined): z.ZodObject | undefined {
  const { inner } = unwrap(schema);
  return inner instanceof z.ZodObject ? inner : undefined;
}

function walk(schema: z.ZodObject, above: readonly string[], prefix: string): ConfigKey[] {
  return Object.entries(schema.shape).flatMap(([name, field]) => {
    const path = [...above, name];
    const object = objectOf(field);
    return object ? walk(object, path, prefix) : [keyOf(field, path, prefix)];
  });
}

function keyOf(field: z.core.$ZodType, path: readonly string[], prefix: string): ConfigKey {
  const { inner, optional, defaultValue, meaning, quantity } = unwrap(field);
  const kind = quantity ?? kindOf(inner);
  return {
    path,
    variable: variableOf(path, prefix),
    kind,
    type: quantity ?? typeOf(inner),
    required: !optional,
    defaultText: defaultValue === undefined ? undefined : textOf(defaultValue, kind),
    meaning,
  };
}

interface Unwrapped {
  readonly inner: z.core.$ZodType | undefined;
  readonly optional: boolean;
  readonly defaultValue: unknown;
  readonly meaning: string;
  readonly quantity: QuantityKind | undefined;
}

/** The words of a field may hang on any of its wrappers; the outermost speaks last. */
function unwrap(schema: z.core.$ZodType | undefined): Unwrapped {
  if (!schema) return { inner: undefined, optional: false, defaultValue: undefined, meaning: '', quantity: undefined };
  const meta = z.globalRegistry.get(schema);
  const inside = insideOf(schema);
  const below: Unwrapped = inside
    ? unwrap(inside)
    : { inner: schema, optional: false, defaultValue: undefined, meaning: '', quantity: undefined };
  const quantity = meta?.quantity;
  return {
    inner: below.inner,
    optional:
      below.optional || schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || hasDefault(schema),
    defaultValue: hasDefault(schema) ? schema.def.defaultValue : below.defaultValue,
    meaning: meta?.description ?? below.meaning,
    quantity: quantity === 'duration' || quantity === 'size' ? quantity : below.quantity,
  };
}

function hasDefault(schema: z.core.$ZodType): schema is z.ZodDefault | z.ZodPrefault {
  return schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault;
}

function insideOf(schema: z.core.$ZodType): z.core.$ZodType | undefined {
  if (hasDefault(schema) || schema instanceof z.ZodOptional || schema instanceof z.ZodNullable)
    return schema.def.innerType;
  if (schema instanceof z.ZodReadonly) return schema.def.innerType;
  if (schema instanceof z.ZodPipe) return schema.def.in;
  return undefined;
}

function kindOf(schema: z.core.$ZodType | undefined): ConfigKey['kind'] {
  if (schema instanceof z.ZodNumber) return 'number';
  if (schema instanceof z.ZodBoolean) return 'boolean';
  if (schema instanceof z.ZodArray) return 'list';
  if (schema instanceof z.ZodRecord) return 'map';
  if (schema instanceof z.ZodLiteral && typeof schema.def.values[0] === 'number') return 'number';
  return 'string';
}

function typeOf(schema: z.core.$ZodType | undefined): string {
  if (schema instanceof z.ZodEnum) return schema.options.join(' | ');
  if (schema instanceof z.ZodLiteral) return schema.def.values.join(' | ');
  if (schema instanceof z.ZodUnion) return schema.def.options.map((option) => typeOf(option)).join(' or ');
  if (schema instanceof z.ZodArray)
    return `list of ${objectOf(schema.def.element) ? 'objects' : typeOf(schema.def.element)}`;
  return kindOf(schema);
}

function textOf(value: unknown, kind: ConfigKey['kind']): string {
  if (kind === 'duration' && typeof value === 'number') return formatDuration(value);
  if (kind === 'size' && typeof value === 'number') return formatSize(value);
  return typeof value === 'string' ? value : JSON.stringify(value);
}
