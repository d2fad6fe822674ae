import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../stack/program.js';
import { until } from '../../stack/until.js';

/** OpenSSH's server on this machine, with the same cipher and key as the proxy, to measure beside. */
export interface ReferenceSshd {
  readonly hostKey: string;
  stop(): Promise<void>;
}

/** Starts it on a port of the loopback; it lets root in with one key. */
export async function startSshd(folder: string, port: number, authorizedKey: string): Promise<ReferenceSshd> {
  const program = findSshd();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const key = join(folder, 'host_key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const config = join(folder, 'sshd_config');
  const keys = join(folder, 'authorized_keys');
  writeFileSync(keys, authorizedKey, { mode: 0o600 });
  writeFileSync(
    config,
    `ListenAddress 127.0.0.1:${port}\nHostKey ${key}\nAuthorizedKeysFile ${keys}\nPermitRootLogin yes\nStrictModes no\n` +
      `UsePAM no\nPidFile none\nMaxStartups 1000\nPasswordAuthentication no\n`,
  );
  // It insists on a user of its own and a folder for it; both exist for it alone, in a mount namespace.
  const users = join(folder, 'passwd');
  writeFileSync(
    users,
    `${readFileSync('/etc/passwd', 'utf8').replace(/^sshd:.*\n/m, '')}sshd:x:65533:65534::/run/sshd:/bin/false\n`,
  );
  const script =
    'mount --bind "$1" /etc/passwd && mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec "$2" -D -e -f "$3"';
  const child = spawn('unshare', ['--mount', 'sh', '-c', script, 'sshd', users, program, config], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let told = '';
  child.stderr.on('data', (chunk: Buffer) => {
    told = (told + chunk.toString()).slice(-4_000);
  });
  await until('sshd listens', () => {
    if (child.exitCode !== null) throw new Error(`sshd ended: ${told}`);
    return told.includes('Server listening');
  });
  const stop = () =>
    new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.kill('SIGTERM');
    });
  return { hostKey: readFileSync(`${key}.pub`, 'utf8').split(' ').slice(0, 2).join(' '), stop };
}

/** The package would start a service; the program alone is taken out of it. */
function findSshd(): string {
  if (existsSync('/usr/sbin/sshd')) return '/usr/sbin/sshd';
  const folder = join(ROOT, '.rivera', 'openssh');
  const program = join(folder, 'usr/sbin/sshd');
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  execFileSync('apt-get', ['-q', 'download', 'openssh-server'], { cwd: folder, stdio: 'ignore' });
  const archive = readdirSync(folder).find((name) => name.endsWith('.deb'));
  if (archive === undefined) throw new Error('the package openssh-server could not be fetched');
  execFileSync('dpkg-deb', ['-x', join(folder, archive), folder]);
  return program;
}
