import { spawn } from 'node:child_process';
import { once } from 'node:events';
import ssh2 from 'ssh2';
import type { SshClient } from '../../stack/ssh-client.js';

/** A server to measure: where, as whom, and how to know it. */
export interface Measured {
  readonly box: SshClient;
  readonly user: string;
  readonly key: string;
}

function options({ box, user, key }: Measured): string[] {
  return box.options(user, { IdentityFile: key, IdentitiesOnly: 'yes', Ciphers: 'aes128-gcm@openssh.com' });
}

/** From starting OpenSSH's client to the first output of a shell with a terminal, in ms. */
export async function loginToPrompt(measured: Measured): Promise<number> {
  const from = performance.now();
  const child = spawn('ssh', [...options(measured), '-tt', 'box'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const exited = once(child, 'exit');
  await Promise.race([
    once(child.stdout, 'data'),
    exited.then(() => {
      throw new Error('ssh ended without a prompt');
    }),
  ]);
  const took = performance.now() - from;
  child.kill();
  await exited;
  return took;
}

/** Bytes a second through `ssh`, in MB: out of the other side, or into it. */
export async function throughput(measured: Measured, direction: 'down' | 'up', megabytes: number): Promise<number> {
  const command = direction === 'down' ? `dd if=/dev/zero bs=1048576 count=${megabytes} 2>/dev/null` : 'cat >/dev/null';
  const script =
    direction === 'down' ? 'exec "$@" >/dev/null' : `dd if=/dev/zero bs=1048576 count=${megabytes} 2>/dev/null | "$@"`;
  const from = performance.now();
  const child = spawn('sh', ['-c', script, 'transfer', 'ssh', ...options(measured), 'box', command], {
    stdio: 'ignore',
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`a transfer ended with ${code}`);
  return (megabytes * 1.048576) / ((performance.now() - from) / 1000);
}

/** Whole key exchanges a second, four clients at a time: each learns the host key and leaves. */
export async function handshakes(port: number, count: number): Promise<number> {
  let left = count;
  const from = performance.now();
  const worker = async () => {
    while (left-- > 0) {
      const child = spawn('ssh-keyscan', ['-t', 'ed25519', '-p', String(port), '127.0.0.1'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      let found = false;
      child.stdout.on('data', () => {
        found = true;
      });
      await once(child, 'close');
      if (!found) throw new Error('a handshake failed');
    }
  };
  await Promise.all(Array.from({ length: 4 }, worker));
  return count / ((performance.now() - from) / 1000);
}

/** Connections that are logged in and do nothing. */
export async function holdIdle(o: {
  port: number;
  username: string;
  password: string;
  count: number;
}): Promise<() => void> {
  const clients: ssh2.Client[] = [];
  for (let i = 0; i < o.count; i++) {
    const client = new ssh2.Client();
    clients.push(client);
    const ready = once(client, 'ready');
    client.connect({
      host: '127.0.0.1',
      port: o.port,
      username: o.username,
      password: o.password,
      readyTimeout: 60_000,
    });
    await ready;
  }
  return () => {
    for (const client of clients) client.destroy();
  };
}
