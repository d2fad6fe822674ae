import { readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { circleIn, modulesOf, PACKAGES, ROOT, resolveImport } from './source.js';

/** Which package may import which: the arrows all point one way. */
const MAY_IMPORT: Record<(typeof PACKAGES)[number], readonly string[]> = {
  gen: [],
  kit: ['gen'],
  sdk: ['gen'],
  server: ['gen', 'kit', 'sdk'],
  cells: ['gen', 'kit', 'sdk'],
  cli: ['gen', 'kit', 'sdk', 'server', 'cells'],
  test: ['gen', 'kit', 'sdk', 'server', 'cells', 'cli'],
};

const manifest = (name: string): { dependencies?: Record<string, string> } =>
  JSON.parse(readFileSync(join(ROOT, name, 'package.json'), 'utf8'));

describe.each(PACKAGES)('%s', (name) => {
  const modules = modulesOf(name);
  const dependencies = Object.keys(manifest(name).dependencies ?? {});

  it('depends on the packages it may import, and on no others of ours', () => {
    const ours = dependencies
      .filter((each) => each.startsWith('@rivera/'))
      .map((each) => each.slice('@rivera/'.length));
    expect(ours.filter((each) => !MAY_IMPORT[name].includes(each))).toEqual([]);
  });

  it('imports only what its manifest names', () => {
    const offences = modules.flatMap(({ file, imports }) =>
      imports
        .filter((each) => !each.startsWith('.') && !each.startsWith('node:') && !builtinModules.includes(each))
        .map((each) =>
          each
            .split('/')
            .slice(0, each.startsWith('@') ? 2 : 1)
            .join('/'),
        )
        .filter((each) => !dependencies.includes(each) && !isToolOfTests(file, each))
        .map((each) => `${file} imports ${each}`),
    );
    expect(offences).toEqual([]);
  });

  it('stays inside its own folder with relative imports', () => {
    const offences = modules.flatMap(({ file, imports }) =>
      imports
        .filter((each) => each.startsWith('.'))
        .filter((each) => !join(file, '..', each).startsWith(name === 'test' ? 'test/' : `${name}/src/`))
        .map((each) => `${file} imports ${each}`),
    );
    expect(offences).toEqual([]);
  });

  it('has no circle of imports', () => {
    expect(circleIn(modules)).toBeUndefined();
  });
});

describe('the core of the BBS', () => {
  const core = modulesOf('server').filter(({ file }) => file.startsWith('server/src/bbs/core/'));
  const decisions = core.filter(({ file }) => !/\.test\.ts$|testing\.ts$/.test(file));

  it('is there', () => {
    expect(decisions.length).toBeGreaterThan(8);
  });

  it('imports only itself, the stubs and the registry of errors', () => {
    const offences = decisions.flatMap(({ file, imports }) =>
      imports
        .filter((each) => !/^\.\/|^@rivera\/gen\/|^@rivera\/kit\/errors$/.test(each))
        .map((each) => `${file} imports ${each}`),
    );
    expect(offences).toEqual([]);
  });

  it('asks neither a clock nor chance, and does nothing outside', () => {
    const impure =
      /\bDate\.now\b|new Date\(\)|\bMath\.random\b|\bsetTimeout\b|\bsetInterval\b|\bprocess\.|\bawait\b|\basync\b/;
    expect(decisions.filter(({ text }) => impure.test(text)).map(({ file }) => file)).toEqual([]);
  });
});

describe('a cell', () => {
  const modules = modulesOf('cells').filter(({ file }) => !/\.test\.ts$/.test(file));

  it.each([
    ['kernel', []],
    ['garden', ['kernel', 'images']],
    ['executor', ['kernel', 'garden', 'images', 'volumes']],
    ['rep', ['executor', 'garden']],
  ])('%s imports, of the other folders, at most %j', (folder, others) => {
    const here = modules.filter(({ file }) => file.startsWith(`cells/src/${folder}/`));
    expect(here.length).toBeGreaterThan(5);
    const offences = here.flatMap((module) =>
      module.imports
        .filter((each) => each.startsWith('.'))
        .filter((each) => ![folder, ...others].includes(resolveImport(module, each).split('/')[2] ?? ''))
        .map((each) => `${module.file} imports ${each}`),
    );
    expect(offences).toEqual([]);
  });
});

describe('the search for circles', () => {
  it('finds one', () => {
    const a = { file: 'x/a.ts', imports: ['./b.js'], text: '' };
    const b = { file: 'x/b.ts', imports: ['./c.js'], text: '' };
    const c = { file: 'x/c.ts', imports: ['./b.js'], text: '' };
    expect(circleIn([a, b, c])).toEqual(['x/b.ts', 'x/c.ts', 'x/b.ts']);
    expect(circleIn([a, b])).toBeUndefined();
  });
});

/** Test runners belong to the root and to no package. */
function isToolOfTests(file: string, dependency: string): boolean {
  const inTest = /\.test\.ts$|testing|contract\.ts$|test-bed\.ts$|^test\//.test(file);
  return inTest && ['vitest', 'fast-check'].includes(dependency);
}
