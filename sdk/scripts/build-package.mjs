/**
 * Makes the folder that is published: `node scripts/build-package.mjs [--out FOLDER]`, default sdk/package.
 * The stubs are bundled, so the package depends on grpc-js and the protobuf runtime alone.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { build } from 'esbuild';

const sdk = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const root = resolve(sdk, '..');
const { values } = parseArgs({ options: { out: { type: 'string' } } });
const out = resolve(values.out ?? join(sdk, 'package'));

/** What users can import: `@rivera/sdk` is index, the others are subpaths of their name. */
const ENTRIES = ['index', 'client', 'errors', 'recipes', 'types'];
/** Workspace packages whose code and types go into the package. */
const BUNDLED = { '@rivera/gen/': 'gen/src/' };

const manifest = JSON.parse(await readFile(join(sdk, 'package.json'), 'utf8'));
const dependencies = Object.entries(manifest.dependencies).filter(([name]) => !(`${name}/` in BUNDLED));

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const scratch = await mkdtemp(join(tmpdir(), 'rivera-sdk-build-'));
try {
  await emitTypes();
  await emitCode();
} finally {
  await rm(scratch, { recursive: true, force: true });
}
await writeJson(join(out, 'package.json'), publishedManifest());
for (const file of ['README.md', 'LICENSE']) await cp(join(sdk, file), join(out, file));
process.stdout.write(`${relative(process.cwd(), out) || '.'}: ${manifest.name} ${manifest.version}\n`);

/** ESM shares chunks between its entries. CommonJS is one file, which the other entries pick from: a class exists once. */
async function emitCode() {
  const common = {
    ...{ absWorkingDir: root, bundle: true, platform: 'node', target: 'node20', conditions: ['source'] },
    ...{ external: dependencies.flatMap(([name]) => [name, `${name}/*`]), logLevel: 'warning', legalComments: 'none' },
  };
  const esm = await build({
    ...common,
    ...{ entryPoints: ENTRIES.map((name) => join(sdk, 'src', `${name}.ts`)), metafile: true },
    ...{ outdir: join(out, 'esm'), format: 'esm', splitting: true, chunkNames: 'chunk-[hash]' },
  });
  await build({
    ...common,
    ...{ entryPoints: [join(sdk, 'src/index.ts')], outfile: join(out, 'cjs/index.js'), format: 'cjs' },
  });
  await writeJson(join(out, 'cjs/package.json'), { type: 'commonjs' });
  const exportsOf = new Map(
    Object.values(esm.metafile.outputs)
      .filter(({ entryPoint }) => entryPoint)
      .map(({ entryPoint, exports }) => [entryPoint.replace(/^.*\/|\.ts$/g, ''), exports]),
  );
  for (const name of ENTRIES.slice(1)) {
    const names = exportsOf.get(name);
    const missing = names.filter((exported) => !exportsOf.get('index').includes(exported));
    if (missing.length > 0) throw new Error(`src/index.ts does not export ${missing.join(', ')} of src/${name}.ts`);
    const picked = names.map((exported) => `exports.${exported} = index.${exported};\n`).join('');
    await writeFile(join(out, 'cjs', `${name}.js`), `'use strict';\nconst index = require('./index.js');\n${picked}`);
  }
}

/** Declarations of the entries and of all that they refer to, once for each module system. */
async function emitTypes() {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const options = ['-p', join(sdk, 'tsconfig.package.json'), '--outDir', scratch];
  try {
    await promisify(execFile)(process.execPath, [tsc, ...options]);
  } catch (error) {
    throw new Error(`tsc: ${error.stdout || error.message}`);
  }
  const pending = ENTRIES.map((name) => `sdk/src/${name}.d.ts`);
  for (const file of pending) {
    const text = await readFile(join(scratch, file), 'utf8');
    const imports = [];
    const rewritten = text.replace(/(from|import\()(\s*)(['"])([^'"]+)\3/g, (whole, keyword, space, quote, target) => {
      const found = declarationOf(target, file);
      if (!found) return whole;
      imports.push(found);
      const path = relative(dirname(placeOf(file)), placeOf(found)).replace(/\.d\.ts$/, '.js');
      return `${keyword}${space}${quote}${path.startsWith('.') ? path : `./${path}`}${quote}`;
    });
    for (const found of imports) if (!pending.includes(found)) pending.push(found);
    for (const system of ['esm', 'cjs']) {
      const place = join(out, system, placeOf(file));
      await mkdir(dirname(place), { recursive: true });
      await writeFile(place, rewritten);
    }
  }
}

/** The emitted file that an import means; undefined: another package. */
function declarationOf(target, importer) {
  if (target.startsWith('.')) return join(dirname(importer), target.replace(/\.js$/, '.d.ts'));
  for (const [name, folder] of Object.entries(BUNDLED)) {
    if (target.startsWith(name)) return `${folder}${target.slice(name.length)}.d.ts`;
  }
  return undefined;
}

/** Where an emitted file goes: the SDK's own at the top, the stubs below `gen`. */
function placeOf(file) {
  return file.replace(/^sdk\/src\//, '').replace(/^gen\/src\//, 'gen/');
}

function publishedManifest() {
  const { name, version, description, license } = manifest;
  const paths = (entry) => ({
    import: { types: `./esm/${entry}.d.ts`, default: `./esm/${entry}.js` },
    require: { types: `./cjs/${entry}.d.ts`, default: `./cjs/${entry}.js` },
  });
  return {
    ...{ name, version, description, license, type: 'module', engines: { node: '>=20.20' } },
    ...{ main: './cjs/index.js', module: './esm/index.js', types: './esm/index.d.ts', sideEffects: false },
    exports: {
      '.': paths('index'),
      ...Object.fromEntries(ENTRIES.map((entry) => [`./${entry}`, paths(entry)])),
      './package.json': './package.json',
    },
    files: ['esm', 'cjs'],
    // A library leaves its users the choice of the patch level, so that they need not hold two copies of grpc-js.
    dependencies: Object.fromEntries(dependencies.map(([dependency, range]) => [dependency, `^${range}`])),
  };
}

async function writeJson(path, value) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(value, undefined, 2)}\n`);
}
