import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');
export const PACKAGES = ['gen', 'kit', 'sdk', 'server', 'cells', 'cli', 'test'] as const;

/** A module and what it imports. */
export interface Module {
  /** Path from the root. */
  readonly file: string;
  readonly imports: readonly string[];
  readonly text: string;
}

/** All modules of a package, generated ones included. */
export function modulesOf(name: string): Module[] {
  const folder = name === 'test' ? join(ROOT, 'test') : join(ROOT, name, 'src');
  return [...typescriptFiles(folder)].map((path) => {
    const text = readFileSync(path, 'utf8');
    return { file: relative(ROOT, path), imports: importsOf(text), text };
  });
}

/** The file that a relative import names. */
export function resolveImport(from: Module, specifier: string): string {
  return relative(ROOT, resolve(ROOT, dirname(from.file), specifier.replace(/\.js$/, '.ts')));
}

/** The first circle of relative imports, as a list of files; undefined when there is none. */
export function circleIn(modules: readonly Module[]): string[] | undefined {
  const byFile = new Map(modules.map((module) => [module.file, module]));
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): string[] | undefined => {
    const start = path.indexOf(file);
    if (start >= 0) return [...path.slice(start), file];
    const module = byFile.get(file);
    if (module === undefined || done.has(file)) return undefined;
    path.push(file);
    for (const specifier of module.imports.filter((each) => each.startsWith('.'))) {
      const circle = visit(resolveImport(module, specifier));
      if (circle !== undefined) return circle;
    }
    path.pop();
    done.add(file);
    return undefined;
  };
  for (const { file } of modules) {
    const circle = visit(file);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

function* typescriptFiles(folder: string): Generator<string> {
  for (const entry of readdirSync(folder)) {
    const path = join(folder, entry);
    if (entry === 'node_modules' || entry === 'dist') continue;
    if (statSync(path).isDirectory()) yield* typescriptFiles(path);
    else if (entry.endsWith('.ts') && !entry.endsWith('.d.ts')) yield path;
  }
}

/** Types count as well: a wall that only types cross is a wall that will be crossed. */
function importsOf(text: string): string[] {
  const statements =
    /(?:^|\n)\s*(?:import|export)\s[^'"`;]*?from\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/g;
  return [...text.matchAll(statements)].map((match) => (match[1] ?? match[2] ?? match[3]) as string);
}
