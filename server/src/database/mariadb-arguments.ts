import { constants } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';

export interface ServerSettings {
  /** For a probe of the file system. */
  folder: string;
  data: string;
  socket: string;
  pid: string;
  /** Default 256 MiB. */
  bufferPoolMb?: number | undefined;
  /** Default true. */
  durable?: boolean | undefined;
  /** Largest statement. Default 64 MiB. */
  maxPacketMb?: number | undefined;
}

/** The command line of a server that nobody but its owner can reach. */
export async function serverArguments(settings: ServerSettings): Promise<string[]> {
  const durable = settings.durable ?? true;
  return [
    // First, or it is ignored: the machine's own configuration is for the machine's own server.
    '--no-defaults',
    ...(process.getuid?.() === 0 ? ['--user=root'] : []),
    `--datadir=${settings.data}`,
    `--socket=${settings.socket}`,
    `--pid-file=${settings.pid}`,
    `--tmpdir=${settings.data}`,
    '--skip-networking',
    '--skip-name-resolve',
    '--skip-log-bin',
    '--character-set-server=utf8mb4',
    '--collation-server=utf8mb4_bin',
    '--max-connections=100',
    `--max-allowed-packet=${settings.maxPacketMb ?? 64}M`,
    `--innodb-buffer-pool-size=${settings.bufferPoolMb ?? 256}M`,
    `--innodb-log-file-size=${durable ? 256 : 32}M`,
    `--innodb-flush-log-at-trx-commit=${durable ? 1 : 0}`,
    `--innodb-doublewrite=${durable ? 1 : 0}`,
    `--innodb-flush-method=${(await supportsDirectIo(settings.folder)) ? 'O_DIRECT' : 'fsync'}`,
  ];
}

/** tmpfs and some network file systems refuse it. */
async function supportsDirectIo(folder: string): Promise<boolean> {
  const probe = join(folder, '.direct-io');
  try {
    const file = await open(probe, constants.O_CREAT | constants.O_RDWR | constants.O_DIRECT, 0o600);
    await file.close();
    return true;
  } catch {
    return false;
  } finally {
    await rm(probe, { force: true });
  }
}
