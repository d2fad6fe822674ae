import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** How a program ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** OpenSSH's own programs against a proxy. They find their password by asking a script, as people's do by asking people. */
export class SshClient {
  private readonly ask: string;

  constructor(
    private readonly folder: string,
    readonly port: number,
    hostKey: string,
  ) {
    mkdirSync(folder, { recursive: true });
    this.ask = join(folder, 'ask');
    writeFileSync(this.ask, '#!/bin/sh\nprintf "%s\\n" "$SECRET"\n', { mode: 0o700 });
    writeFileSync(this.knownHosts, `[127.0.0.1]:${port} ${hostKey}\n`);
  }

  get knownHosts(): string {
    return join(this.folder, 'known_hosts');
  }

  /** Options of every program of OpenSSH; the host is called `box`. */
  options(user: string, extra: Readonly<Record<string, string>> = {}): string[] {
    const settings = {
      HostName: '127.0.0.1',
      Port: String(this.port),
      User: user,
      UserKnownHostsFile: this.knownHosts,
      GlobalKnownHostsFile: '/dev/null',
      StrictHostKeyChecking: 'yes',
      NumberOfPasswordPrompts: '1',
      IdentityFile: 'none',
      IdentityAgent: 'none',
      LogLevel: 'ERROR',
      ...extra,
    };
    return ['-F', 'none', ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])];
  }

  environment(secret: string): NodeJS.ProcessEnv {
    return { ...process.env, SSH_ASKPASS: this.ask, SSH_ASKPASS_REQUIRE: 'force', SECRET: secret, TERM: 'xterm' };
  }

  /** Begins a program. */
  begin(program: 'ssh' | 'scp' | 'sftp' | 'rsync', args: readonly string[], secret = '', env: NodeJS.ProcessEnv = {}) {
    return spawn(program, args, { stdio: 'pipe', env: { ...this.environment(secret), ...env } });
  }

  /** Runs a program to its end. */
  run(
    program: 'ssh' | 'scp' | 'sftp' | 'rsync',
    args: readonly string[],
    { secret = '', input = '', env = {} }: { secret?: string; input?: string; env?: NodeJS.ProcessEnv } = {},
  ): Promise<Ended> {
    const child = this.begin(program, args, secret, env);
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    return ended(child);
  }

  /** `ssh USER@box COMMAND`. */
  ssh(
    user: string,
    command: string,
    o: {
      secret?: string;
      input?: string;
      flags?: string[];
      extra?: Record<string, string>;
      env?: NodeJS.ProcessEnv;
    } = {},
  ): Promise<Ended> {
    return this.run('ssh', [...this.options(user, o.extra), ...(o.flags ?? []), 'box', command], o);
  }
}

export function ended(child: ReturnType<SshClient['begin']>): Promise<Ended> {
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk: Buffer) => {
      if (texts[name].length < 1_000_000) texts[name] += chunk.toString('utf8');
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...texts }));
  });
}

export async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return hash.digest('hex');
}
