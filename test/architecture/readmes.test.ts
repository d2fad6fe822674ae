import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { modulesOf, PACKAGES, ROOT } from './source.js';

/** A page. */
const MAX_LINES = 90;

describe('every folder with more than three modules', () => {
  const counts = new Map<string, number>();
  for (const name of PACKAGES.filter((each) => each !== 'gen')) {
    for (const { file } of modulesOf(name)) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
  }
  const folders = [...counts].filter(([, count]) => count > 3).map(([folder]) => folder);

  it('has a README, there or one above where the folder is a package’s src', () => {
    const places = (folder: string) => (folder.endsWith('/src') ? [folder, dirname(folder)] : [folder]);
    const missing = folders.filter(
      (folder) => !places(folder).some((place) => existsSync(join(ROOT, place, 'README.md'))),
    );
    expect(missing).toEqual([]);
  });

  it('has a README of at most a page', () => {
    const long = folders
      .map((folder) => join(folder, 'README.md'))
      .filter((file) => existsSync(join(ROOT, file)))
      .filter((file) => readFileSync(join(ROOT, file), 'utf8').split('\n').length > MAX_LINES);
    expect(long).toEqual([]);
  });
});
