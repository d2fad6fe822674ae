import { GardenError, type GardenSpec } from './garden.js';

/** Bounds of what a container carries for others; they hold for what is set, not for what a container is made with. */
export const MAX_PROPERTIES = 128;
export const MAX_PROPERTY_NAME_BYTES = 256;
export const MAX_PROPERTY_VALUE_BYTES = 16 * 1024;
/** Longer than any machine is up; more would overflow timers. */
export const MAX_GRACE_TIME_MS = 2 ** 31 - 1;

/** What stands against a property's name; undefined: nothing. */
export function propertyNameRule(name: string): string | undefined {
  const bytes = Buffer.byteLength(name);
  return bytes >= 1 && bytes <= MAX_PROPERTY_NAME_BYTES ? undefined : `has 1..${MAX_PROPERTY_NAME_BYTES} bytes`;
}

/** What stands against a property's value; undefined: nothing. */
export function propertyValueRule(value: string): string | undefined {
  return Buffer.byteLength(value) <= MAX_PROPERTY_VALUE_BYTES
    ? undefined
    : `has at most ${MAX_PROPERTY_VALUE_BYTES} bytes`;
}

/** What stands against a grace time; undefined: nothing. */
export function graceTimeRule(ms: number): string | undefined {
  return Number.isInteger(ms) && ms >= 0 && ms <= MAX_GRACE_TIME_MS
    ? undefined
    : `is a whole number of milliseconds within 0..${MAX_GRACE_TIME_MS}`;
}

/** @throws GardenError `property-not-found` */
export function propertyOf({ properties }: GardenSpec, name: string): string {
  const value = Object.hasOwn(properties, name) ? properties[name] : undefined;
  if (value === undefined) throw new GardenError('property-not-found', `property does not exist: ${name}`);
  return value;
}

/** A specification with a property more, or with another value of it. @throws GardenError `invalid` */
export function withProperty(spec: GardenSpec, name: string, value: string): GardenSpec {
  const { properties } = spec;
  const rule = propertyNameRule(name);
  if (rule) throw new GardenError('invalid', `the name of a property ${rule}`);
  const valueRule = propertyValueRule(value);
  if (valueRule) throw new GardenError('invalid', `property ${name} ${valueRule}`);
  if (!Object.hasOwn(properties, name) && Object.keys(properties).length >= MAX_PROPERTIES)
    throw new GardenError('invalid', `a container has at most ${MAX_PROPERTIES} properties`);
  return { ...spec, properties: { ...properties, [name]: value } };
}

/** A specification without a property. */
export function withoutProperty(spec: GardenSpec, name: string): GardenSpec {
  return { ...spec, properties: Object.fromEntries(Object.entries(spec.properties).filter(([key]) => key !== name)) };
}

/** A specification with another grace time. @throws GardenError `invalid` */
export function withGraceTime(spec: GardenSpec, graceTimeMs: number): GardenSpec {
  const rule = graceTimeRule(graceTimeMs);
  if (rule) throw new GardenError('invalid', `grace time ${rule}`);
  return { ...spec, graceTimeMs };
}

/** Whether a container has all the properties, with these values. */
export function hasProperties({ properties }: GardenSpec, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([name, value]) => Object.hasOwn(properties, name) && properties[name] === value);
}
