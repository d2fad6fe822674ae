import { execFile } from 'node:child_process';
import { access, constants, rename, rm, stat } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** Paths of what MariaDB's Debian package brings. */
export interface MariaDbPrograms {
  server: string;
  install: string;
}

/** MariaDB is not on this machine. */
export class MariaDbMissingError extends Error {
  override name = 'MariaDbMissingError';
}

/** The usual places of daemons, which an ordinary user's PATH leaves out. */
const FURTHER_FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/usr/local/bin', '/usr/libexec', '/usr/bin'];
const INSTALL_TIMEOUT_MS = 120_000;

/** @throws MariaDbMissingError that tells how to install it */
export async function locateMariaDb(): Promise<MariaDbPrograms> {
  const server = (await locate('mariadbd')) ?? (await locate('mysqld'));
  const install = (await locate('mariadb-install-db')) ?? (await locate('mysql_install_db'));
  if (server === undefined || install === undefined) {
    throw new MariaDbMissingError(
      'MariaDB is not installed on this machine; on Debian: apt-get install mariadb-server',
    );
  }
  return { server, install };
}

/** The path of a program, or undefined where there is none. */
export async function locate(program: string): Promise<string | undefined> {
  const folders = [...(process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== ''), ...FURTHER_FOLDERS];
  for (const folder of folders) {
    const path = join(folder, program);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

/** Makes the system tables on first use. Made aside and renamed, so that an interrupted attempt leaves nothing that looks complete. */
export async function installDataFolder(programs: MariaDbPrograms, folder: string): Promise<void> {
  const present = await stat(folder).catch(() => undefined);
  if (present !== undefined) return;
  const partial = `${folder}.partial`;
  await rm(partial, { recursive: true, force: true });
  await promisify(execFile)(
    programs.install,
    [
      '--no-defaults',
      ...(process.getuid?.() === 0 ? ['--user=root'] : []),
      `--datadir=${partial}`,
      // Every server that starts removes the temporary tables in its temporary folder: in /tmp those would be other servers' as well.
      `--tmpdir=${dirname(folder)}`,
      // No password: the socket's folder is closed to everybody else.
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
      '--innodb-log-file-size=8M',
    ],
    { timeout: INSTALL_TIMEOUT_MS, maxBuffer: 4 * 1024 * 1024 },
  ).catch((cause: Error & { stdout?: string; stderr?: string }) => {
    const said = `${cause.stdout ?? ''}\n${cause.stderr ?? ''}`.trim().split('\n').slice(-15).join('\n');
    throw new Error(`the database's data folder ${folder} can't be made:\n${said}`, { cause });
  });
  await rename(partial, folder);
}
