import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Logger, silentLogger } from '@rivera/kit/log';
import { Authority } from '@rivera/kit/tls/authority';
import type { Identity, Role } from '@rivera/kit/tls/identity';
import { serverConfig } from '../config.js';
import { makeServerFolder } from '../database/testing.js';
import { type RunningServer, runServer } from '../program.js';

/** Whole servers on real databases, for tests; everything of them is in one folder, and gone after `close`. */
export class ServerBench {
  private readonly servers: RunningServer[] = [];
  private readonly closers: (() => void)[] = [];

  private constructor(
    readonly folder: string,
    private readonly authority: Authority,
  ) {}

  static async open(): Promise<ServerBench> {
    const folder = await makeServerFolder();
    return new ServerBench(folder, await Authority.open(join(folder, 'ca')));
  }

  /** Starts one, with its admin port on any free port. */
  async start(databaseUrl: string, changes: object = {}, log: Logger = silentLogger): Promise<RunningServer> {
    const tls = await this.authority.writeIdentity(join(this.folder, 'tls'), { role: 'server', name: 'server' });
    const config = serverConfig.parse({
      listen: '127.0.0.1:0',
      database: { url: databaseUrl },
      tls,
      admin: { port: 0 },
      ...changes,
    });
    const server = await runServer(config, log);
    this.servers.push(server);
    return server;
  }

  async identity(role: Role, name: string): Promise<Identity> {
    return { role, name, caPem: this.authority.caPem, ...(await this.authority.issue({ role, name })) };
  }

  /** Something to let go of before the servers end. */
  onClose(close: () => void): void {
    this.closers.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.closers.splice(0).reverse()) close();
    await Promise.all(this.servers.splice(0).map((server) => server.close()));
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Reads a path of a server's admin port. */
export function ask({ adminAddress }: RunningServer, path: string): Promise<Response> {
  return fetch(`http://${adminAddress}${path}`);
}

/** All numbers of a server by name and labels, as `name{label="value"}`. */
export async function metricsOf(server: RunningServer): Promise<Map<string, number>> {
  const text = await (await ask(server, '/metrics')).text();
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}
