import type { Command } from 'commander';
import { examples, type Outcome, perform, withConnection } from '../command-line.js';
import { usageError } from '../failures.js';
import type { Io } from '../io.js';
import { parseInstance } from '../recipe/quantities.js';
import { findEndpoint, runSsh } from '../ssh/client-program.js';
import { requireForwarding, requireInstance, requireWayIn } from '../ssh/way-in.js';
import { withSuggestion } from './names.js';
import { collect } from './work-options.js';

/** `rivera ssh`, `ssh-code` and `ssh-config`. */
export function addSsh(program: Command, io: Io, outcome: Outcome): void {
  const ssh = withConnection(
    program
      .command('ssh')
      .argument('<name>', 'an LRP: NAME (instance 0) or NAME/INDEX')
      .argument('[command...]', 'what to run; default: a shell')
      .description('log into a container with OpenSSH'),
  )
    .passThroughOptions()
    .option('-L <[bind:]port:host:port>', 'make a port of the container reachable here; repeatable', collect)
    .option('-R <[bind:]port:host:port>', 'make a port of this machine reachable there; repeatable', collect)
    .option('-D <[bind:]port>', 'a SOCKS proxy into the container; repeatable', collect)
    .option('-N', 'run no command')
    .option('-t', 'with a terminal, also for a command');
  examples(
    ssh,
    ['rivera ssh hello/0', 'a shell in instance 0'],
    ['rivera ssh hello/2 -- ls -l /', 'one command in instance 2'],
    ['rivera ssh -N -L 8080:127.0.0.1:8080 hello', 'its port 8080 at localhost:8080'],
  );
  ssh.addHelpText('after', '\nThe LRP has to let SSH in: `rivera lrp run --ssh`. The exit code is the one of ssh.');
  perform<Record<'L' | 'R' | 'D', string[] | undefined> & { N?: boolean; t?: boolean }>(
    ssh,
    io,
    outcome,
    async (session, [name = '', ...words], options) => {
      const { processGuid, index } = parseInstance(name);
      const command = words[0] === '--' ? words.slice(1) : words;
      if (words[0]?.startsWith('-') && words[0] !== '--') {
        throw usageError(
          `'${words[0]}' stands behind the name, where the command begins`,
          `rivera ssh ${words.join(' ')} ${name}`,
        );
      }
      for (const text of options.L ?? []) requireForwarding('L', text);
      return withSuggestion(session, 'lrp', processGuid, async (client) => {
        const endpoint = await findEndpoint(client, session.signal);
        await requireWayIn(client, { processGuid, index }, session.signal);
        const { code } = await client.ssh.createCode(processGuid, { signal: session.signal });
        const flags = [
          ...(['L', 'R', 'D'] as const).flatMap((flag) => (options[flag] ?? []).flatMap((text) => [`-${flag}`, text])),
          ...(options.N ? ['-N'] : []),
          ...(options.t ? ['-t'] : []),
          ...(options.L || options.R || options.D ? ['-o', 'ExitOnForwardFailure=yes'] : []),
        ];
        return runSsh({ endpoint, user: `${processGuid}/${index}`, code, options: flags, command, env: io.env });
      });
    },
  );
  addSshCode(program, io, outcome);
  addSshConfig(program, io, outcome);
}

function addSshCode(program: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    program
      .command('ssh-code')
      .argument('<name>', 'an LRP')
      .description('print a password for one login with any SSH client'),
  );
  examples(command, ['rivera ssh-code hello', 'good for one login as hello/0 (or /1 …), for two minutes']);
  perform(command, io, outcome, async (session, [name = '']) => {
    const { processGuid } = parseInstance(name);
    return withSuggestion(session, 'lrp', processGuid, async (client) => {
      await client.desiredLrps.get(processGuid, undefined, { signal: session.signal });
      const { code, expiresAt } = await client.ssh.createCode(processGuid, { signal: session.signal });
      if (session.out.json) await session.out.line({ code, expiresAt: expiresAt?.toISOString() });
      else await session.out.data(`${code}\n`);
      return undefined;
    });
  });
}

function addSshConfig(program: Command, io: Io, outcome: Outcome): void {
  const command = withConnection(
    program
      .command('ssh-config')
      .argument('<name>', 'an LRP: NAME (instance 0) or NAME/INDEX')
      .description('print a Host block for ~/.ssh/config, and the known_hosts line'),
  );
  examples(
    command,
    ['rivera ssh-config hello/0 >> ~/.ssh/config', 'then: ssh hello-0, scp hello-0:…, rsync …'],
    ['rivera ssh-config hello/0 --json | jq -r .fingerprint', "the host key's fingerprint alone"],
  );
  command.addHelpText('after', '\nLog in with a registered key (`rivera ssh-key add`) or a code (`rivera ssh-code`).');
  perform(command, io, outcome, async (session, [name = '']) => {
    const { processGuid, index } = parseInstance(name);
    const { host, port, knownHost, fingerprint } = await withSuggestion(session, 'lrp', processGuid, async (client) => {
      await requireInstance(client, { processGuid, index }, session.signal);
      return findEndpoint(client, session.signal);
    });
    const alias = `${processGuid}-${index}`;
    if (session.out.json) {
      await session.out.line({
        alias,
        host,
        port: Number(port),
        user: `${processGuid}/${index}`,
        knownHost,
        fingerprint,
      });
      return undefined;
    }
    const [names = '', ...key] = knownHost.split(' ');
    await session.out.data(
      `# The host key's fingerprint is ${fingerprint}; its line for ~/.ssh/known_hosts:\n# ${names} ${key.join(' ')}\n` +
        `Host ${alias}\n  HostName ${host}\n  Port ${port}\n  User ${processGuid}/${index}\n` +
        `  KnownHostsCommand /bin/echo ${names} ${key.join(' ')}\n  StrictHostKeyChecking yes\n  ServerAliveInterval 30\n`,
    );
    return undefined;
  });
}
