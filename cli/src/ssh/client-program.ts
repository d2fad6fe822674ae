import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RiveraClient } from '@rivera/sdk/client';
import { isAnswer } from '../describe.js';
import { CliError, EXIT, localError } from '../failures.js';

/** Where SSH is, in the parts that OpenSSH wants. */
export interface SshEndpoint {
  readonly host: string;
  readonly port: string;
  /** Line for a known_hosts file. */
  readonly knownHost: string;
  readonly fingerprint: string;
}

/** @throws CliError when SSH is switched off */
export async function findEndpoint(client: RiveraClient, signal: AbortSignal): Promise<SshEndpoint> {
  const found = await client.ssh.endpoint({ signal }).catch((error: unknown) => {
    if (!isAnswer(error) || error.codeName !== 'UNIMPLEMENTED') throw error;
    throw new CliError(EXIT.answered, 'this installation has no SSH', [
      "Give a server the role 'ssh' and ssh.hostKey.",
    ]);
  });
  const { address, hostKey, fingerprint, enabled } = found;
  if (!enabled) throw new CliError(EXIT.answered, 'SSH is switched off on this installation');
  const colon = address.lastIndexOf(':');
  const [host, port] = [address.slice(0, colon).replace(/^\[|\]$/g, ''), address.slice(colon + 1)];
  const knownHost = `${port === '22' ? host : `[${host}]:${port}`} ${hostKey}`;
  return { host, port, knownHost, fingerprint };
}

/** What OpenSSH is to do. */
export interface SshRun {
  readonly endpoint: SshEndpoint;
  readonly user: string;
  /** Password for this login. */
  readonly code: string;
  readonly options: readonly string[];
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Runs OpenSSH's client on our terminal. It asks for its password by running a program, which reads it from the environment, so that
 * the code is neither on a command line nor in a file. @returns its exit code
 */
export async function runSsh({ endpoint, user, code, options, command, env }: SshRun): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'rivera-ssh-'));
  try {
    const knownHosts = join(folder, 'known_hosts');
    const ask = join(folder, 'ask');
    writeFileSync(knownHosts, `${endpoint.knownHost}\n`, { mode: 0o600 });
    writeFileSync(ask, '#!/bin/sh\nprintf "%s\\n" "$RIVERA_SSH_CODE"\n', { mode: 0o700 });
    const settings = {
      HostName: endpoint.host,
      Port: endpoint.port,
      User: user,
      UserKnownHostsFile: knownHosts,
      GlobalKnownHostsFile: '/dev/null',
      StrictHostKeyChecking: 'yes',
      PreferredAuthentications: 'password',
      PubkeyAuthentication: 'no',
      NumberOfPasswordPrompts: '1',
      ServerAliveInterval: '30',
      LogLevel: 'ERROR',
    };
    const args = ['-F', 'none', ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])];
    // Behind the host OpenSSH would still take what begins with a dash for its own.
    const child = spawn('ssh', [...args, ...options, 'rivera', ...(command.length > 0 ? ['--', ...command] : [])], {
      stdio: 'inherit',
      env: { ...env, SSH_ASKPASS: ask, SSH_ASKPASS_REQUIRE: 'force', RIVERA_SSH_CODE: code },
    });
    return await new Promise<number>((resolve, reject) => {
      child.once('error', (error) =>
        reject(
          localError(`ssh can't be run: ${error.message}`, ['Install OpenSSH:  apt-get install openssh-client'], error),
        ),
      );
      child.once('close', (exitCode) => resolve(exitCode ?? EXIT.interrupted));
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
