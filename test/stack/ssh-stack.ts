import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RiveraClient } from '@rivera/sdk/client';
import { SshClient } from './ssh-client.js';
import { freePort, Stack } from './stack.js';
import { webApp } from './work.js';

/** What the proxy takes as the password of users `diego:…`. */
export const SSH_SECRET = 'open sesame';
/** The route by which an LRP opts in. */
const SSH_ROUTES = { 'diego-ssh': '{"container_port":2222}' };

/** A platform with an SSH proxy, and instances to log in to. */
export class SshStack {
  private constructor(
    readonly stack: Stack,
    readonly client: RiveraClient,
    /** OpenSSH's client, which knows the proxy's host key. */
    readonly box: SshClient,
    /** Of the proxy. */
    readonly port: number,
    /** Holds the host key; for what else a test has to keep. */
    readonly folder: string,
  ) {}

  /**
   * Resolves when an instance of each app runs.
   * @param o.ssh settings of the proxy beside the obvious, made with the folder
   */
  static async start(o: {
    apps: string[];
    cells?: number;
    routes?: Record<string, string>;
    ssh?: (folder: string) => object;
  }): Promise<SshStack> {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), 'rivera-ssh-keys-'));
    const { apps, cells = 1, routes = SSH_ROUTES, ssh } = o;
    let stack: Stack | undefined;
    try {
      stack = await Stack.start({
        cells,
        server: {
          roles: ['bbs', 'auction', 'access', 'locket', 'ssh'],
          ssh: { ...sshSettings(port, folder), ...ssh?.(folder) },
        },
      });
      const client = await stack.client();
      for (const name of apps) await client.desiredLrps.desire(webApp(name, 1, { routes } as never));
      for (const name of apps) await client.actualLrps.waitForRunning(name, { timeoutMs: 60_000 });
      const { hostKey } = await client.ssh.endpoint();
      return new SshStack(stack, client, new SshClient(join(stack.folder, 'client'), port, hostKey), port, folder);
    } catch (error) {
      await stack?.close();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.stack.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What every proxy of a test has in common. */
export function sshSettings(port: number, folder: string): object {
  return {
    listen: `127.0.0.1:${port}`,
    hostKey: join(folder, 'host_key'),
    diego: { enabled: true, credential: SSH_SECRET },
  };
}
