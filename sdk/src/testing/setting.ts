import { RiveraClient } from '../client.js';
import type { ConnectOptions, TlsFiles } from '../options.js';
import { type Runtime, systemRuntime } from '../transport/runtime.js';
import { TestAuthority } from './certificates.js';
import { FakeServer } from './fake-server.js';

/** What the tests of one file share: an authority, the servers and clients they start, and the end of it all. */
export class Setting {
  /** The waits that clients asked for; they are not waited. */
  readonly waits: number[] = [];
  readonly #clients: RiveraClient[] = [];
  readonly #servers: FakeServer[] = [];

  private constructor(
    readonly authority: TestAuthority,
    readonly serverFiles: TlsFiles,
    readonly clientFiles: TlsFiles,
  ) {}

  static async make(): Promise<Setting> {
    const authority = await TestAuthority.make();
    const [serverFiles, clientFiles] = await Promise.all([authority.issue('server'), authority.issue('client')]);
    return new Setting(authority, serverFiles, clientFiles);
  }

  async server(): Promise<FakeServer> {
    const server = await FakeServer.start(this.serverFiles);
    this.#servers.push(server);
    return server;
  }

  /** A client that waits a moment where others would back off, and whose chance always falls on the middle. */
  client(servers: FakeServer | FakeServer[], options: Partial<ConnectOptions> = {}): RiveraClient {
    const runtime: Runtime = {
      ...systemRuntime,
      random: () => 0.5,
      sleep: (ms, signal) => {
        this.waits.push(ms);
        return systemRuntime.sleep(Math.min(ms, 20), signal);
      },
    };
    const addresses = [servers].flat().map((server) => server.address);
    const client = new RiveraClient({ servers: addresses, tls: this.clientFiles, ...options }, runtime);
    this.#clients.push(client);
    return client;
  }

  /** Ends what a test started. */
  endTest(): void {
    for (const client of this.#clients.splice(0)) client.close();
    for (const server of this.#servers.splice(0)) server.stop();
    this.waits.length = 0;
  }

  async end(): Promise<void> {
    this.endTest();
    await this.authority.remove();
  }
}

/** Everything that a stream yields. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** The first items of a stream, which is then left. */
export async function take<T>(items: AsyncIterable<T>, count: number): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) if (all.push(item) === count) break;
  return all;
}
