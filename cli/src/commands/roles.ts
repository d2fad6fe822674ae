import { Argument, type Command } from 'commander';
import type { z } from 'zod';
import { examples, type Outcome, perform } from '../command-line.js';
import { usageError } from '../failures.js';
import type { Io } from '../io.js';

/** A program that can run in this process. */
interface Role {
  description: string;
  schema(): Promise<z.ZodObject>;
  /** Starts it. The configuration has been checked against the schema. */
  start(file: string, env: NodeJS.ProcessEnv): Promise<Running>;
}

interface Running {
  close(): Promise<void>;
}

const ROLES = {
  server: {
    description: 'run the server roles: bbs, auction, locket, access',
    schema: async () => (await import('@rivera/server/program')).serverConfig,
    start: async (file, env) => {
      const { runServer, serverConfig } = await import('@rivera/server/program');
      const { loadConfig } = await import('@rivera/kit/config');
      const { createLogger } = await import('@rivera/kit/log');
      const config = loadConfig({ schema: serverConfig, file, env });
      return runServer(config, createLogger({ name: 'server', level: config.log.level, pretty: config.log.pretty }));
    },
  },
  cell: {
    description: 'run a cell: takes work and runs it in containers',
    schema: async () => (await import('@rivera/cells/agent/config')).cellConfig,
    start: async (file, env) => {
      const { cellConfig } = await import('@rivera/cells/agent/config');
      const { runCell } = await import('@rivera/cells/agent/program');
      const { loadConfig } = await import('@rivera/kit/config');
      const { createLogger } = await import('@rivera/kit/log');
      const config = loadConfig({ schema: cellConfig, file, env });
      return runCell(config, createLogger({ name: 'cell', level: config.log.level, pretty: config.log.pretty }));
    },
  },
} as const satisfies Record<string, Role>;

type RoleName = keyof typeof ROLES;

/** `rivera server`, `rivera cell`, `rivera config`. */
export function addRoles(program: Command, io: Io, outcome: Outcome): void {
  for (const name of ['server', 'cell'] as const) addRole(program, io, outcome, name);
  const config = program
    .command('config')
    .addArgument(new Argument('<role>', 'the role').choices(Object.keys(ROLES)))
    .description('print the settings of a role, as a Markdown table');
  examples(config, ['rivera config cell', 'keys, variables, defaults, meanings']);
  perform(config, io, outcome, async (session, [role]) => {
    const { configTable } = await import('@rivera/kit/config');
    await session.out.data(`${configTable(await ROLES[role as RoleName].schema())}\n`);
    return undefined;
  });
}

function addRole(program: Command, io: Io, outcome: Outcome, name: RoleName): void {
  const role: Role = ROLES[name];
  const command = program
    .command(name)
    .description(role.description)
    .requiredOption('-c, --config <file>', 'settings, YAML; the environment wins over it')
    .option('--check', 'check the settings and end');
  examples(
    command,
    [`rivera ${name} --config ${name}.yaml`, 'run until TERM or Ctrl-C'],
    [`rivera ${name} --config ${name}.yaml --check`, 'only look whether the settings are right'],
    [`rivera config ${name}`, 'what can be set'],
  );
  perform<{ config: string; check?: boolean }>(command, io, outcome, async (session, _, options) => {
    const schema = await role.schema();
    const { ConfigError, loadConfig } = await import('@rivera/kit/config');
    try {
      loadConfig({ schema, file: options.config, env: io.env });
    } catch (error) {
      if (error instanceof ConfigError) throw usageError(error.message, `What can be set:  rivera config ${name}`);
      throw error;
    }
    if (options.check) {
      await session.out.note(`${options.config} is right.\n`);
      return undefined;
    }
    const running = await role.start(options.config, io.env);
    await untilAborted(session.signal);
    await running.close();
    return undefined;
  });
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
