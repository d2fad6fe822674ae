import { isAbsolute } from 'node:path';
import type { Duration } from '@rivera/gen/google/protobuf/duration';
import type { ContainerSpec, EgressRule, ProcessSpec } from '@rivera/gen/rivera/garden/v1/container';
import { RiveraError, type Violation } from '@rivera/kit/errors';
import { OWNER_PROPERTY } from '../executor/containers/garden-spec.js';
import { egressRuleFault, MAX_EGRESS_RULES } from '../garden/egress-rule.js';
import { RLIMITS } from '../garden/garden.js';
import { limitViolations } from '../garden/limits.js';
import { memoryShareViolations } from '../garden/memory-share.js';
import { graceTimeRule, MAX_PROPERTIES, propertyNameRule, propertyValueRule } from '../garden/properties.js';
import { msOf, rulesFrom } from './messages.js';

/** Properties with names like this are the cell's own. */
export const RESERVED_PREFIX = `${OWNER_PROPERTY.split(':')[0]}:`;

const HANDLE = /^[A-Za-z0-9_-]{1,64}$/;
const PROCESS_ID = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;
const MAX_ENTRIES = 1_000;
const MAX_PORTS = 1_000;
const MAX_MOUNTS = 100;
const MAX_WINDOW = 1_000;
/** Beside what the kernel takes for a command: 128 KiB for one argument or variable. */
const MAX_TEXT_BYTES = 128 * 1024;

/** The rules of a request; all that are broken are told at once. */
export class Rules {
  readonly #violations: Violation[] = [];

  /** A rule that has to hold. */
  require(holds: boolean, field: string, description: string): void {
    if (!holds) this.#violations.push({ field, description });
  }

  /** A rule that says what stands against it; undefined: nothing. */
  obey(field: string, rule: string | undefined): void {
    if (rule !== undefined) this.#violations.push({ field, description: rule });
  }

  /** @throws RiveraError INVALID_REQUEST */
  check(): void {
    const [first] = this.#violations;
    if (!first) return;
    throw new RiveraError('INVALID_REQUEST', `${first.field} ${first.description}`, { violations: this.#violations });
  }
}

/** @throws RiveraError INVALID_REQUEST for a handle that no container can have */
export function requireHandle(handle: string, field = 'handle'): void {
  const rules = new Rules();
  rules.require(HANDLE.test(handle), field, 'is 1..64 of A-Z a-z 0-9 _ -');
  rules.check();
}

/** @throws RiveraError INVALID_REQUEST */
export function requireSpec(spec: ContainerSpec): void {
  const rules = new Rules();
  rules.require(spec.handle === '' || HANDLE.test(spec.handle), 'spec.handle', 'is 1..64 of A-Z a-z 0-9 _ -');
  rules.require(spec.rootFs !== '', 'spec.root_fs', 'is required');
  environment(rules, 'spec.env', spec.env);
  const properties = Object.entries(spec.properties);
  rules.require(properties.length <= MAX_PROPERTIES, 'spec.properties', `has at most ${MAX_PROPERTIES} entries`);
  for (const [name, value] of properties) property(rules, 'spec.properties', name, value);
  for (const { name, rule } of limitViolations(spec.limits ?? {})) rules.obey(`spec.limits.${snake(name)}`, rule);
  rules.require(spec.ports.length <= MAX_PORTS, 'spec.ports', `has at most ${MAX_PORTS} entries`);
  for (const port of spec.ports) rules.require(port >= 1 && port <= 65_535, 'spec.ports', `${port} is not 1..65535`);
  egress(rules, 'spec.egress_rules', spec.egressRules);
  rules.require(spec.bindMounts.length <= MAX_MOUNTS, 'spec.bind_mounts', `has at most ${MAX_MOUNTS} entries`);
  spec.bindMounts.forEach(({ source, destination }, index) => {
    rules.require(isPath(source), `spec.bind_mounts[${index}].source`, 'is an absolute path');
    rules.require(isPath(destination), `spec.bind_mounts[${index}].destination`, 'is an absolute path');
  });
  duration(rules, 'spec.grace_time', spec.graceTime);
  rules.check();
}

/** @throws RiveraError INVALID_REQUEST */
export function requireEgress(field: string, rules: readonly EgressRule[]): void {
  const broken = new Rules();
  egress(broken, field, rules);
  broken.check();
}

function egress(rules: Rules, field: string, wanted: readonly EgressRule[]): void {
  rules.require(wanted.length <= MAX_EGRESS_RULES, field, `has at most ${MAX_EGRESS_RULES} entries`);
  for (const [index, rule] of rulesFrom(wanted.slice(0, MAX_EGRESS_RULES)).entries())
    rules.obey(`${field}[${index}]`, egressRuleFault(rule));
}

/** @throws RiveraError INVALID_REQUEST */
export function requireProcess(process: ProcessSpec): void {
  const rules = new Rules();
  const id = 'is 1..128 of A-Z a-z 0-9 . _ - and begins with none of .';
  rules.require(process.id === '' || PROCESS_ID.test(process.id), 'process.id', id);
  rules.require(process.path !== '' && isText(process.path), 'process.path', 'is required, without NUL');
  rules.require(process.args.length <= MAX_ENTRIES, 'process.args', `has at most ${MAX_ENTRIES} entries`);
  for (const arg of process.args) {
    const short = isText(arg) && Buffer.byteLength(arg) < MAX_TEXT_BYTES;
    rules.require(short, 'process.args', `are shorter than ${MAX_TEXT_BYTES} bytes each, without NUL`);
  }
  rules.require(isText(process.dir), 'process.dir', 'has no NUL');
  environment(rules, 'process.env', process.env);
  for (const name of Object.keys(process.rlimits)) {
    const known = RLIMITS.some((each) => each === name);
    rules.require(known, 'process.rlimits', `'${name.slice(0, 20)}' is none of ${RLIMITS.join(', ')}`);
  }
  for (const { field, rule } of process.memoryShare ? memoryShareViolations(process.memoryShare) : [])
    rules.obey(`process.memory_share.${field}`, rule);
  const size = process.terminal?.windowSize;
  if (size) windowSize(rules, 'process.terminal.window_size', size);
  rules.check();
}

/** @throws RiveraError INVALID_REQUEST */
export function requireProperty(name: string, value: string): void {
  const rules = new Rules();
  property(rules, 'name', name, value, 'value');
  rules.check();
}

/** @throws RiveraError INVALID_REQUEST */
export function requireDuration(field: string, time: Duration | undefined): void {
  const rules = new Rules();
  duration(rules, field, time);
  rules.check();
}

/** @throws RiveraError INVALID_REQUEST */
export function requireWindowSize(size: { columns: number; rows: number }): void {
  const rules = new Rules();
  windowSize(rules, 'input.window_size', size);
  rules.check();
}

/** @throws RiveraError INVALID_REQUEST */
export function requirePath(path: string): void {
  const rules = new Rules();
  rules.require(path !== '' && isText(path), 'path', 'is required, without NUL');
  rules.check();
}

/** @throws RiveraError INVALID_REQUEST for none, too many, or what no container is named */
export function requireHandles(handles: readonly string[]): void {
  const rules = new Rules();
  const { length } = handles;
  rules.require(length >= 1 && length <= MAX_ENTRIES, 'handles', `has 1..${MAX_ENTRIES} entries`);
  handles.slice(0, MAX_ENTRIES).forEach((handle, index) => {
    rules.require(HANDLE.test(handle), `handles[${index}]`, 'is 1..64 of A-Z a-z 0-9 _ -');
  });
  rules.check();
}

function property(rules: Rules, field: string, name: string, value: string, valueField = field): void {
  rules.obey(field, propertyNameRule(name));
  rules.obey(valueField, propertyValueRule(value));
  const own = name.startsWith(RESERVED_PREFIX);
  rules.require(!own, field, `does not begin with "${RESERVED_PREFIX}", which is the cell's own`);
}

function environment(rules: Rules, field: string, env: readonly string[]): void {
  rules.require(env.length <= MAX_ENTRIES, field, `has at most ${MAX_ENTRIES} entries`);
  env.forEach((variable, index) => {
    const fits = variable.indexOf('=') > 0 && isText(variable) && Buffer.byteLength(variable) < MAX_TEXT_BYTES;
    rules.require(fits, `${field}[${index}]`, `is NAME=VALUE without NUL, shorter than ${MAX_TEXT_BYTES} bytes`);
  });
}

function duration(rules: Rules, field: string, time: Duration | undefined): void {
  if (time) rules.obey(field, graceTimeRule(msOf(time)));
}

function windowSize(rules: Rules, field: string, { columns, rows }: { columns: number; rows: number }): void {
  for (const [name, value] of Object.entries({ columns, rows }))
    rules.require(value >= 1 && value <= MAX_WINDOW, `${field}.${name}`, `is within 1..${MAX_WINDOW}`);
}

function isText(text: string): boolean {
  return !text.includes('\0');
}

function isPath(path: string): boolean {
  return isAbsolute(path) && isText(path);
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
