import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { IdentityFiles, Role } from '@rivera/kit/tls/identity';
import { Argument, type Command } from 'commander';
import { stringify } from 'yaml';
import { examples, type Outcome, perform, withOutput } from '../command-line.js';
import { localError, usageError } from '../failures.js';
import type { Io } from '../io.js';
import type { Session } from '../session.js';
import { collect } from './work-options.js';

const ROLES = ['server', 'cell', 'client', 'reader', 'garden'] as const satisfies readonly Role[];

/** `rivera cert …`: a certificate authority, and certificates for everybody who connects. */
export function addCert(program: Command, io: Io, outcome: Outcome): void {
  const cert = program.command('cert').description('certificates: an authority, and one for each who connects');
  addAuthority(cert, io, outcome);
  addIssue(cert, io, outcome);
}

function addAuthority(cert: Command, io: Io, outcome: Outcome): void {
  const command = withOutput(
    cert
      .command('authority')
      .argument('<dir>', 'folder for ca.crt and ca.key')
      .description('make a certificate authority, or keep the one that is there'),
  );
  examples(command, ['rivera cert authority ca', 'in the folder ca, which is made']);
  command.addHelpText('after', '\nWhoever has ca.key can be anybody. It is not needed where Rivera runs.');
  perform(command, io, outcome, async ({ out }, [name = '']) => {
    const dir = resolve(io.cwd, name);
    const [certFile, keyFile] = [join(dir, 'ca.crt'), join(dir, 'ca.key')];
    const kept = read(keyFile) !== undefined;
    await openAuthority(dir);
    if (out.json) await out.line({ cert: certFile, key: keyFile, kept });
    else {
      await out.data(`${certFile}   for every machine\n${keyFile}   secret; it stays here\n`);
      await out.note(`${kept ? 'It was there and is kept. ' : ''}Now:  rivera cert issue ROLE NAME --ca ${name}\n`);
    }
    return undefined;
  });
}

interface Options {
  ca: string;
  out: string;
  host?: string[];
}

function addIssue(cert: Command, io: Io, outcome: Outcome): void {
  const command = withOutput(
    cert
      .command('issue')
      .addArgument(new Argument('<role>', 'what its holder is').choices(ROLES))
      .argument('<name>', "the holder's name; of a cell its cellId")
      .description('issue a certificate, valid for a year'),
  )
    .option('--ca <dir>', 'folder of the authority', '.')
    .option('--out <dir>', 'folder for ca.crt, NAME.crt and NAME.key', '.')
    .option('--host <host>', 'DNS name or address to put into it, for other clients than ours; repeatable', collect);
  examples(
    command,
    ['rivera cert issue server server-1 --ca ca --out tls', 'for a server'],
    ['rivera cert issue cell cell-a --ca ca --out tls', 'for the cell with this cellId'],
    ['rivera cert issue client ops --ca ca --out tls', 'for somebody who may do everything'],
    ['rivera cert issue reader grafana --ca ca --out tls', 'for somebody who may only look'],
    ['rivera cert issue garden ci --ca ca --out tls', "for a program that makes containers through a cell's garden"],
  );
  command.addHelpText(
    'after',
    '\nPrints the settings to use: YAML for a server or cell, shell variables for a client or reader. A certificate that is there\nstays while it fits and more than a third of its time is left.',
  );
  perform<Options>(command, io, outcome, issue);
}

async function issue({ io, out }: Session, operands: readonly string[], options: Options): Promise<undefined> {
  const [role, name] = operands as [Role, string];
  requireName(role, name);
  const caDir = resolve(io.cwd, options.ca);
  if (read(join(caDir, 'ca.key')) === undefined) {
    throw usageError(
      `there is no certificate authority in ${caDir}`,
      `Make one:            rivera cert authority ${options.ca}`,
      'or say where it is:  --ca DIR',
    );
  }
  const authority = await openAuthority(caDir);
  const outDir = resolve(io.cwd, options.out);
  const before = read(join(outDir, `${encodeURIComponent(name)}.crt`));
  const files = await authority.writeIdentity(outDir, { role, name, hosts: options.host ?? [] });
  const kept = read(files.cert) === before;
  const validUntil = await expiryOf(files);
  if (out.json) await out.line({ role, name, ...files, validUntil: validUntil.toISOString(), kept });
  else {
    const day = validUntil.toISOString().slice(0, 10);
    await out.note(`${kept ? 'Kept' : 'Wrote'} ${files.cert} and ${files.key}, for ${role} ${name}, until ${day}.\n`);
    await out.data(settingsFor(role, files));
  }
  return undefined;
}

/** What the holder has to be told. */
function settingsFor(role: Role, { ca, cert, key }: IdentityFiles): string {
  if (role === 'server' || role === 'cell') return stringify({ tls: { ca, cert, key } });
  const quoted = (path: string) => (/^[\w./%-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);
  return `export RIVERA_CA=${quoted(ca)} RIVERA_CERT=${quoted(cert)} RIVERA_KEY=${quoted(key)}\n`;
}

/** @throws CliError (usage) for a name that no certificate can have, or that no cell has */
function requireName(role: Role, name: string): void {
  if (role === 'cell' && !/^[A-Za-z0-9_-]{1,64}$/.test(name)) {
    throw usageError(`'${name}' is not a cell's id, which is 1..64 of A-Z a-z 0-9 _ -`);
  }
  if (name === '' || Buffer.byteLength(name) > 64) throw usageError('the name in a certificate has 1..64 bytes');
  if (name === 'ca') throw usageError("'ca' is the name of the authority's own files");
}

async function openAuthority(dir: string) {
  const { Authority } = await import('@rivera/kit/tls/authority');
  try {
    return await Authority.open(dir);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw localError(`the certificate authority in ${dir} can't be used: ${why}`, [], error);
  }
}

async function expiryOf({ cert }: IdentityFiles): Promise<Date> {
  const { X509Certificate } = await import('node:crypto');
  return new Date(new X509Certificate(readFileSync(cert)).validTo);
}

/** A file's text; undefined when there is none. */
function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw localError(`${file} can't be read`, [], error);
  }
}
