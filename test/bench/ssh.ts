import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SshClient } from '../stack/ssh-client.js';
import { freePort, Stack } from '../stack/stack.js';
import { webApp } from '../stack/work.js';
import { quantile, type Report } from './figures.js';
import { handshakes, holdIdle, loginToPrompt, type Measured, throughput } from './ssh/clients.js';
import { startSshd } from './ssh/reference-sshd.js';
import { unwinding } from './stand/unwinding.js';

const IDLE_SESSIONS = 500;
const HANDSHAKES = 200;
const MEGABYTES = 200;
/** Transfers of each kind, of which the median counts. */
const ROUNDS = 3;

/** The SSH proxy beside OpenSSH's sshd on the same machine in the same run: logins, handshakes, bytes; and what idle sessions cost. */
export async function ssh(report: Report, { logins }: { logins: number }): Promise<void> {
  const [port, sshdPort] = [await freePort(), await freePort()];
  const password = 'bench';
  const stack = await Stack.start({
    server: {
      roles: ['bbs', 'auction', 'access', 'locket', 'ssh'],
      log: { level: 'error' },
      audit: { enabled: false },
      ssh: {
        listen: `127.0.0.1:${port}`,
        hostKey: `/tmp/rivera-bench-host-key-${process.pid}`,
        diego: { enabled: true, credential: password },
        maxConnectionsPerUser: IDLE_SESSIONS + 10,
      },
    },
  });
  let stopSshd = async () => {};
  const clear = async () => {
    await stopSshd();
    await stack.close();
    execFileSync('rm', ['-f', `/tmp/rivera-bench-host-key-${process.pid}`]);
  };
  await unwinding(clear, async () => {
    const client = await stack.client();
    await client.desiredLrps.desire(
      webApp('bench', 1, { routes: { 'diego-ssh': '{"container_port":2222}' } } as never),
    );
    await client.actualLrps.waitForRunning('bench', { timeoutMs: 60_000 });
    const key = join(stack.folder, 'key');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
    const publicKey = readFileSync(`${key}.pub`, 'utf8');
    await client.ssh.addKey(publicKey, { name: 'bench' });
    const sshd = await startSshd(join(stack.folder, 'sshd'), sshdPort, publicKey);
    stopSshd = () => sshd.stop();
    const { hostKey } = await client.ssh.endpoint();
    const proxy: Measured = { box: new SshClient(join(stack.folder, 'a'), port, hostKey), user: 'bench/0', key };
    const other: Measured = { box: new SshClient(join(stack.folder, 'b'), sshdPort, sshd.hostKey), user: 'root', key };

    await both(
      report,
      'login to prompt p50',
      'ms',
      `${logins} logins one after the other, public key, shell with a terminal`,
      async (to) => {
        const times: number[] = [];
        for (let i = 0; i < logins + 2; i++) times.push(await loginToPrompt(to));
        return quantile(times.slice(2), 0.5);
      },
    );
    await both(report, 'handshakes', '/s', `${HANDSHAKES} key exchanges by ssh-keyscan, 4 at a time`, (to) =>
      handshakes(to.box.port, HANDSHAKES),
    );
    for (const direction of ['down', 'up'] as const) {
      const conditions = `${MEGABYTES} MiB through ssh, aes128-gcm, median of ${ROUNDS}`;
      await both(report, `throughput ${direction}`, 'MB/s', conditions, async (to) => {
        const speeds: number[] = [];
        for (let i = 0; i < ROUNDS; i++) speeds.push(await throughput(to, direction, MEGABYTES));
        return quantile(speeds, 0.5);
      });
    }

    const { pid } = stack.servers[0] as { pid: number };
    const before = rssMb(pid);
    const release = await holdIdle({ port, username: 'diego:bench/0', password, count: IDLE_SESSIONS });
    const after = rssMb(pid);
    release();
    const conditions = `${IDLE_SESSIONS} connections logged in, idle; the whole server process (${before.toFixed(0)} MB before)`;
    report({ name: 'RSS with idle sessions', value: after, unit: 'MB', conditions });
    report({ name: 'RSS per idle session', value: ((after - before) * 1024) / IDLE_SESSIONS, unit: 'KB', conditions });

    async function both(
      tell: Report,
      name: string,
      unit: string,
      conditions: string,
      measure: (to: Measured) => Promise<number>,
    ): Promise<void> {
      const ours = await measure(proxy);
      const theirs = await measure(other);
      tell({ name, value: ours, unit, conditions, reference: `${theirs.toPrecision(3)} ${unit} of sshd on the host` });
      tell({
        name: `${name}, ratio to sshd`,
        value: ours / theirs,
        unit: 'x',
        conditions: 'the proxy and a container, over sshd alone on the host',
      });
    }
  });
}

function rssMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
}
