import { usageError } from '../failures.js';
import { parseInstance } from '../recipe/quantities.js';

/** A path in a container. */
export interface ContainerPath {
  readonly kind: 'container';
  readonly processGuid: string;
  readonly index: number;
  readonly path: string;
}

/** Where something is copied from or to. */
export type Place = ContainerPath | { readonly kind: 'here'; readonly path: string };

/** `NAME[/INDEX]:/PATH` is in a container; all else is here, as is whatever begins with a dot or a slash. */
export function parsePlace(text: string): Place {
  if (text === '') throw usageError('a path is empty');
  const found = /^([A-Za-z0-9_-]+(?:\/\d{1,5})?):(.*)$/s.exec(text);
  if (!found) return { kind: 'here', path: text };
  const path = found[2] ?? '';
  if (!path.startsWith('/')) throw usageError(`'${path}' is not an absolute path`, `${found[1]}:/${path}`);
  return { kind: 'container', ...parseInstance(found[1] ?? ''), path };
}

/** Folder and name that something gets: behind a slash it keeps its name, else it is called as the path says. */
export function landing(path: string, name: string): { folder: string; name: string } {
  const clean = path.replace(/\/+$/, '');
  if (path.endsWith('/')) return { folder: clean || '/', name };
  const slash = clean.lastIndexOf('/');
  return { folder: clean.slice(0, slash) || (slash === 0 ? '/' : '.'), name: clean.slice(slash + 1) };
}
