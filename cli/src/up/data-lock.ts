import { mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NameLock } from '@rivera/kit/name-lock';
import { localError } from '../failures.js';

/** Keeps two `rivera up` from one data folder. The pid file is for the message alone. */
export class DataLock {
  private constructor(
    private readonly lock: NameLock,
    private readonly pidFile: string,
  ) {}

  /** @throws CliError (local) naming the process that has the folder */
  static async acquire(dataDir: string): Promise<DataLock> {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const path = realpathSync(dataDir);
    const pidFile = join(path, 'up.pid');
    const lock = await NameLock.take('up', path);
    if (lock === undefined) {
      const pid = readPid(pidFile);
      throw localError(`Rivera already runs on ${path}${pid === undefined ? '' : ` (pid ${pid})`}`, [
        `Stop it with Ctrl-C in its terminal${pid === undefined ? '' : `, or: kill ${pid}`}`,
        'Or start another one beside it:  rivera up --data DIR',
      ]);
    }
    writeFileSync(pidFile, `${process.pid}\n`);
    return new DataLock(lock, pidFile);
  }

  /** Gives the folder back. */
  async release(): Promise<void> {
    rmSync(this.pidFile, { force: true });
    await this.lock.release();
  }
}

function readPid(pidFile: string): number | undefined {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8').trim());
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}
