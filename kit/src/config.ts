import { readFileSync } from 'node:fs';
import { closest } from 'fastest-levenshtein';
import { parseDocument, parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { type ConfigKey, configKeys, DEFAULT_PREFIX, objectOf } from './config/keys.js';

export { duration, formatDuration, formatSize, parseDuration, parseSize, size } from './config/quantities.js';
export { configTable } from './config/table.js';

/** What is wrong with a configuration, in words for whoever wrote it: every problem on a line of its own. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export interface LoadConfigOptions<S extends z.ZodObject> {
  readonly schema: S;
  /** A YAML file. Without one, environment and defaults alone speak. */
  readonly file?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Default "RIVERA_". */
  readonly envPrefix?: string;
  /** Wins over the environment, which wins over the file; nested like the file. */
  readonly overrides?: unknown;
}

type Tree = Record<string, unknown>;

/** Where values came from, by path, so that a complaint can name the place. */
type Sources = Map<string, string>;

/**
 * Reads, merges and checks a configuration.
 * @throws ConfigError naming file, key path and rule; an unknown key names the nearest known one.
 */
export function loadConfig<S extends z.ZodObject>(options: LoadConfigOptions<S>): z.infer<S> {
  const { schema, file, env = process.env, envPrefix = DEFAULT_PREFIX, overrides } = options;
  const keys = configKeys(schema, envPrefix);
  const sources: Sources = new Map();
  const tree: Tree = {};
  const problems: string[] = [];

  const fileName = file ?? 'configuration';
  if (file !== undefined) {
    const content = readTree(file);
    problems.push(...unknownKeys(schema, content, keys).map((problem) => `${file}: ${problem}`));
    merge(tree, content);
  }
  for (const key of keys) {
    const text = env[key.variable];
    if (text === undefined || text === '') continue;
    put(tree, key.path, fromText(text, key));
    sources.set(key.path.join('.'), `environment variable ${key.variable}`);
  }
  if (isTree(overrides)) {
    problems.push(...unknownKeys(schema, overrides, keys).map((problem) => `options: ${problem}`));
    merge(tree, overrides);
    for (const path of leaves(overrides)) sources.set(path, 'options');
  }

  const result = schema.safeParse(fillObjects(schema, tree));
  if (!result.success) {
    for (const issue of result.error.issues) {
      // Unknown keys have been reported already, with a suggestion.
      if (issue.code === 'unrecognized_keys') continue;
      problems.push(describe(issue, keys, sources, fileName, envPrefix));
    }
  }
  if (problems.length > 0 || !result.success) throw new ConfigError(problems.join('\n'));
  return result.data;
}

function readTree(file: string): Tree {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    throw new ConfigError(missing ? `${file}: no such file` : `${file}: can't be read`, { cause: error });
  }
  const document = parseDocument(text);
  const [problem] = document.errors;
  if (problem) throw new ConfigError(`${file}: not valid YAML: ${problem.message}`, { cause: problem });
  const content: unknown = document.toJS();
  if (content === null || content === undefined) return {};
  if (!isTree(content)) throw new ConfigError(`${file}: must hold keys and values at its top level`);
  return content;
}

/** Looks for keys that the schema does not name. Maps with free keys are opened only as far as the schema goes. */
function unknownKeys(schema: z.ZodObject, tree: Tree, keys: readonly ConfigKey[], above: string[] = []): string[] {
  const known = Object.keys(schema.shape);
  return Object.entries(tree).flatMap(([name, value]) => {
    const path = [...above, name];
    if (!known.includes(name)) return [`unknown key ${path.join('.')}; did you mean ${nearest(path, known, keys)}?`];
    const inner = objectOf(schema.shape[name]);
    return inner && isTree(value) ? unknownKeys(inner, value, keys, path) : [];
  });
}

/** The nearest sibling; but a key that exists elsewhere under this very name was put in the wrong place. */
function nearest(path: string[], siblings: string[], keys: readonly ConfigKey[]): string {
  const name = path.at(-1) ?? '';
  const elsewhere = keys.find((key) => key.path.at(-1) === name);
  return elsewhere ? elsewhere.path.join('.') : [...path.slice(0, -1), closest(name, siblings)].join('.');
}

/** Environment variables are text; what text means depends on the key. What does not fit is left to the schema. */
function fromText(text: string, { kind }: ConfigKey): unknown {
  switch (kind) {
    case 'number':
      return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text);
    case 'duration':
    case 'size':
      return /^\d+$/.test(text) ? Number(text) : text;
    case 'boolean':
      return { true: true, yes: true, '1': true, false: false, no: false, '0': false }[text.toLowerCase()] ?? text;
    case 'list':
      return text.trimStart().startsWith('[') ? parsed(text) : text.split(',').map((item) => item.trim());
    case 'map':
      return parsed(text);
    case 'string':
      return text;
  }
}

function parsed(text: string): unknown {
  try {
    return parseYaml(text);
  } catch {
    return text;
  }
}

function describe(
  issue: z.core.$ZodIssue,
  keys: readonly ConfigKey[],
  sources: Sources,
  fileName: string,
  prefix: string,
): string {
  const path = issue.path.map(String);
  const key = keys.find((candidate) => candidate.path.every((name, index) => name === path[index]));
  const name = path.join('.');
  const source = (key && sources.get(key.path.join('.'))) ?? fileName;
  const missing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined');
  if (missing && key) return `${fileName}: ${name} is required (or set ${key.variable})`;
  return `${source}: ${name === '' ? '' : `${name}: `}${issue.message}${missing ? ` (variables start with ${prefix})` : ''}`;
}

/** An object that the file leaves out still has defaults inside, and errors for what is required in it. */
function fillObjects(schema: z.ZodObject, tree: Tree): Tree {
  const filled: Tree = { ...tree };
  for (const [name, field] of Object.entries(schema.shape)) {
    const inner = objectOf(field);
    if (!inner) continue;
    const value = tree[name];
    if (value === undefined || value === null) {
      if (!acceptsUndefined(field)) filled[name] = fillObjects(inner, {});
    } else if (isTree(value)) {
      filled[name] = fillObjects(inner, value);
    }
  }
  return filled;
}

function acceptsUndefined(field: z.core.$ZodType): boolean {
  return z.safeParse(field, undefined).success;
}

function merge(into: Tree, from: Tree): void {
  for (const [name, value] of Object.entries(from)) {
    if (value === undefined) continue;
    const here = Object.hasOwn(into, name) ? into[name] : undefined;
    if (isTree(here) && isTree(value)) merge(here, value);
    else into[name] = isTree(value) ? structuredCopy(value) : value;
  }
}

function structuredCopy(tree: Tree): Tree {
  const copy: Tree = {};
  merge(copy, tree);
  return copy;
}

function put(tree: Tree, path: readonly string[], value: unknown): void {
  const [name, ...rest] = path;
  if (name === undefined) return;
  if (rest.length === 0) {
    tree[name] = value;
    return;
  }
  const here = tree[name];
  const inner: Tree = isTree(here) ? here : {};
  tree[name] = inner;
  put(inner, rest, value);
}

function leaves(tree: Tree, above: string[] = []): string[] {
  return Object.entries(tree).flatMap(([name, value]) =>
    isTree(value) ? leaves(value, [...above, name]) : [[...above, name].join('.')],
  );
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
