import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const PAGE = 'docs/reference.md';

/** Chapters that the page explains, as "bbs 4". */
function explained(): Set<string> {
  const page = readFileSync(join(ROOT, PAGE), 'utf8');
  return new Set([...page.matchAll(/^\| spec (\w+) §(\d+)/gm)].map(([, name, chapter]) => `${name} ${chapter}`));
}

/** Chapters that are cited somewhere, each with one place; and citations that do not say of which part they are. */
function cited(): { chapters: Map<string, string>; vague: string[] } {
  const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.ts', '*.md', '*.proto', '*.txt'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const chapters = new Map<string, string>();
  const vague: string[] = [];
  for (const file of files
    .split('\n')
    .filter((name) => name !== '' && name !== PAGE && !name.startsWith('test/docs/'))) {
    const text = readFileSync(join(ROOT, file), 'utf8');
    if (/\bspec §|\.md §/.test(text)) vague.push(file);
    for (const [, name, list] of text.matchAll(/\bspec (\w+) (§[\d.]+(?:(?:-|, | and )§[\d.]+)*)/g)) {
      // "§17-§29" cites all between.
      for (const [, first, last = first] of (list ?? '').matchAll(/§(\d+)[\d.]*(?:-§(\d+))?/g)) {
        for (let chapter = Number(first); chapter <= Number(last); chapter++) chapters.set(`${name} ${chapter}`, file);
      }
    }
  }
  return { chapters, vague };
}

it('every chapter that a comment cites is explained, and says of which part it is', () => {
  const { chapters, vague } = cited();
  const known = explained();
  expect(chapters.size).toBeGreaterThan(10);
  expect([...chapters].filter(([chapter]) => !known.has(chapter))).toEqual([]);
  expect(vague).toEqual([]);
});
