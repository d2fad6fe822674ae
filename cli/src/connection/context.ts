import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { usageError } from '../failures.js';

/** Name of the file in a data folder that says how to reach what runs on it. */
export const CONTEXT_FILE = 'client.json';

const contextSchema = z.strictObject({
  servers: z.array(z.string().min(1)).min(1),
  ca: z.string().min(1),
  cert: z.string().min(1),
  key: z.string().min(1),
});

/** How to reach the servers: addresses, and paths of the certificate authority's and the client's files. */
export type ConnectionContext = z.infer<typeof contextSchema>;

/** What the user said on the command line. */
export interface ConnectionFlags {
  servers?: string;
  ca?: string;
  cert?: string;
  key?: string;
  /** A context file, or the folder that holds one. */
  context?: string;
}

/** Where to look. */
export interface Surroundings {
  env: NodeJS.ProcessEnv;
  cwd: string;
  home: string;
}

/**
 * Finds out how to reach the servers. Each part comes from the first of: flags, environment (`RIVERA_SERVERS`, `RIVERA_CA`,
 * `RIVERA_CERT`, `RIVERA_KEY`), the context file (`--context` or `RIVERA_CONTEXT`, else `./.rivera`, else `~/.rivera`).
 * @throws CliError (usage) that names what is missing and how to say it
 */
export function resolveConnection(flags: ConnectionFlags, around: Surroundings): ConnectionContext {
  const { env } = around;
  const servers = flags.servers ?? nonEmpty(env.RIVERA_SERVERS);
  const ca = flags.ca ?? nonEmpty(env.RIVERA_CA);
  const cert = flags.cert ?? nonEmpty(env.RIVERA_CERT);
  const key = flags.key ?? nonEmpty(env.RIVERA_KEY);
  if ((cert === undefined) !== (key === undefined)) {
    throw usageError(
      '--cert and --key (RIVERA_CERT and RIVERA_KEY) go together: a certificate is of no use without its key',
    );
  }
  const found = servers && ca && cert && key ? undefined : findContext(flags, around);
  const addresses = servers === undefined ? found?.servers : parseServers(servers);
  if (addresses === undefined) {
    throw usageError(
      'no server is known',
      'Start one on this machine:   rivera up',
      'or say where it is:          --servers HOST:PORT  (or RIVERA_SERVERS), with --ca, --cert and --key',
      'or point at a data folder:   --context DIR  (or RIVERA_CONTEXT)',
    );
  }
  const at = (path: string | undefined) => (path === undefined ? undefined : resolve(around.cwd, path));
  return {
    servers: addresses,
    ca: at(ca) ?? found?.ca ?? missing('certificate authority', '--ca', 'RIVERA_CA'),
    cert: at(cert) ?? found?.cert ?? missing('client certificate', '--cert', 'RIVERA_CERT'),
    key: at(key) ?? found?.key ?? missing('key of the client certificate', '--key', 'RIVERA_KEY'),
  };
}

/** `HOST:PORT[,HOST:PORT…]`; gRPC addresses have no scheme, and plain HTTP is not spoken at all. */
function parseServers(text: string): string[] {
  const servers = text.split(',').map((server) => server.trim());
  for (const server of servers) {
    if (/^[a-z]+:\/\//i.test(server)) {
      throw usageError(`'${server}' has a scheme: servers are HOST:PORT, and TLS is always used`);
    }
    if (!/^(\[[0-9a-f:.]+\]|[^\s:/]+):\d{1,5}$/i.test(server)) {
      throw usageError(`'${server}' is not HOST:PORT`, 'Several servers are separated by commas.');
    }
  }
  return servers;
}

function findContext(flags: ConnectionFlags, around: Surroundings): ConnectionContext | undefined {
  const named = flags.context ?? nonEmpty(around.env.RIVERA_CONTEXT);
  if (named !== undefined) {
    const path = resolve(around.cwd, named);
    const context = readContext(path) ?? readContext(join(path, CONTEXT_FILE));
    if (context === undefined) {
      throw usageError(`there is no ${CONTEXT_FILE} at ${path}`, 'rivera up --data DIR writes one into DIR.');
    }
    return context;
  }
  return (
    readContext(join(around.cwd, '.rivera', CONTEXT_FILE)) ?? readContext(join(around.home, '.rivera', CONTEXT_FILE))
  );
}

/**
 * The data folder that is meant here: the one whose context the client commands use, else `./.rivera` where there is one (a start
 * writes the context late), else `~/.rivera`.
 */
export function findDataFolder(named: string | undefined, around: Surroundings): string {
  const context = named ?? nonEmpty(around.env.RIVERA_CONTEXT);
  if (context !== undefined) {
    const path = resolve(around.cwd, context);
    return basename(path) === CONTEXT_FILE ? dirname(path) : path;
  }
  const [here, home] = [join(around.cwd, '.rivera'), join(around.home, '.rivera')];
  if (existsSync(join(here, CONTEXT_FILE))) return here;
  if (existsSync(join(home, CONTEXT_FILE))) return home;
  return existsSync(here) ? here : home;
}

/** Paths in the file count from the file's folder, so that the folder can be moved. */
function readContext(path: string): ConnectionContext | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw usageError(`${path} can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw usageError(`${path} is not JSON`, 'Remove it and run rivera up again, which writes it.');
  }
  const parsed = contextSchema.safeParse(document);
  if (!parsed.success) {
    throw usageError(
      `${path}: ${z.prettifyError(parsed.error)}`,
      'Remove it and run rivera up again, which writes it.',
    );
  }
  const at = (relative: string) => resolve(dirname(path), relative);
  const { servers, ca, cert, key } = parsed.data;
  return { servers, ca: at(ca), cert: at(cert), key: at(key) };
}

function missing(what: string, flag: string, variable: string): never {
  throw usageError(`no ${what} is known`, `Name its file with ${flag} or ${variable}.`);
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}

function isMissing(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOENT' || code === 'EISDIR' || code === 'ENOTDIR';
}
