import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { EXIT } from '@rivera/cli/failures';
import { Interrupts } from '@rivera/cli/interrupts';
import { buildProgram } from '@rivera/cli/program';
import { describe, expect, it } from 'vitest';
import { blocksOf, codeSpansOf, fileLinksOf } from './markdown.js';

const ROOT = resolve(import.meta.dirname, '../..');
type Command = ReturnType<typeof buildProgram>;

/** Folders that hold what is installed, built or running. */
const FOREIGN = new Set(['node_modules', 'dist', 'package', '.git', '.rivera']);

function pagesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory()) return FOREIGN.has(entry.name) ? [] : pagesBelow(join(folder, entry.name));
    return entry.name.endsWith('.md') ? [join(folder, entry.name)] : [];
  });
}

/** Every page of the repository. */
const PAGES = pagesBelow('');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

/** Lines of shells in a page: transcripts, scripts, and commands in the middle of a sentence. */
function shellLinesOf(markdown: string): string[] {
  const lines = blocksOf(markdown).flatMap(({ language, text }) => {
    if (language === 'console') return text.split('\n').filter((line) => line.startsWith('$ '));
    return ['sh', 'bash', ''].includes(language) ? text.split('\n') : [];
  });
  return [...lines, ...codeSpansOf(markdown)].map((line) => line.replace(/^\$ /, '').replace(/(^|\s)#.*$/, ''));
}

/** What follows the word `rivera` where it is a program's name. */
function commandLinesOf(markdown: string): string[] {
  return shellLinesOf(markdown)
    .flatMap((line) =>
      [...line.matchAll(/(?:^|[;&|(]\s*|\bnpx )rivera ([^;&|)]+)/g)].map((match) => match[1]?.trim() ?? ''),
    )
    .filter((words) => /^[a-z]/.test(words));
}

function scriptsNamedIn(markdown: string): string[] {
  return shellLinesOf(markdown).flatMap((line) => {
    if (/ -w /.test(line)) return [];
    return [...line.matchAll(/\bnpm (?:run (?:-s )?)([a-z:]+)/g)].map((match) => match[1] ?? '');
  });
}

/** What is wrong with a command line, going by the program's own tables; undefined when nothing is. */
function mistakeIn(program: Command, line: string): string | undefined {
  let command = program;
  let operands = 0;
  for (const word of line.match(/'[^']*'|"[^"]*"|\S+/g) ?? []) {
    if (word === '--') return undefined;
    if (word.startsWith('-')) {
      const flags = word.startsWith('--')
        ? [word.replace(/=.*$/, '')]
        : [...word.slice(1)].map((letter) => `-${letter}`);
      const known = command.options.flatMap(({ short, long }) => [short, long]).concat('-h', '--help');
      const unknown = flags.find((flag) => !known.includes(flag));
      if (unknown !== undefined) return `rivera ${line}: there is no option ${unknown}`;
      continue;
    }
    const next =
      operands === 0
        ? command.commands.find((each) => each.name() === word || each.aliases().includes(word))
        : undefined;
    if (next !== undefined) command = next;
    else if (command.commands.length > 0 && command.registeredArguments.length === 0)
      return `rivera ${line}: there is no command ${word}`;
    else operands++;
  }
  return undefined;
}

describe('the command lines of the pages', () => {
  const sink = () => new Writable({ write: (_, __, done) => done() });
  const program = buildProgram(
    {
      stdin: Readable.from([]),
      stdout: sink(),
      stderr: sink(),
      env: {},
      cwd: ROOT,
      home: ROOT,
      now: () => 0,
      interrupts: new Interrupts(),
    },
    { exitCode: 0 },
  );

  it('are found', () => {
    expect(commandLinesOf(read('README.md')).length).toBeGreaterThan(20);
    expect(scriptsNamedIn(read('CONTRIBUTING.md')).length).toBeGreaterThan(3);
  });

  it('exist', () => {
    const mistakes = PAGES.flatMap((file) =>
      commandLinesOf(read(file))
        .map((line) => mistakeIn(program, line))
        .filter((mistake) => mistake !== undefined)
        .map((mistake) => `${file}: ${mistake}`),
    );
    expect(mistakes).toEqual([]);
  });

  it.each(['tsak run', 'lrp sow', 'lrp list --jsn', 'exec -x web', 'up --cell 3'])(
    'would be found wrong: rivera %s',
    (line) => {
      expect(mistakeIn(program, line)).toBeDefined();
    },
  );
});

describe('the exit codes', () => {
  it('are all in the page of the command line, and no others', () => {
    const table = read('cli/README.md').match(/\| Code [\s\S]*?\n\n/)?.[0] ?? '';
    const codes = [...table.matchAll(/^\| ([\d, ]+?) +\|/gm)].flatMap((match) =>
      (match[1] ?? '').split(',').map(Number),
    );
    expect(codes).toEqual(Object.values(EXIT));
  });
});

describe('the npm scripts of the pages', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };

  it('exist', () => {
    expect(PAGES.flatMap((file) => scriptsNamedIn(read(file)).filter((name) => !(name in scripts)))).toEqual([]);
  });
});

describe('the links of the pages', () => {
  it('lead to files that are there', () => {
    const dead = PAGES.flatMap((file) =>
      fileLinksOf(read(file))
        .filter((target) => !existsSync(join(ROOT, dirname(file), target)))
        .map((target) => `${file}: ${target}`),
    );
    expect(dead).toEqual([]);
  });
});
