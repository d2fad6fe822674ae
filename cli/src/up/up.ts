import { mkdirSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildBusyboxRootFs } from '@rivera/cells/garden/rootfs/busybox';
import { connect, type RiveraClient } from '@rivera/sdk/client';
import { PrivateMariaDb } from '@rivera/server/database/private-mariadb';
import type { ConnectionContext } from '../connection/context.js';
import { count } from '../terminal/text.js';
import { formatTook } from '../terminal/time.js';
import { Child, type ChildEvent } from './child.js';
import { DataLock } from './data-lock.js';
import { type DatabaseEvent, KeptDatabase } from './database.js';
import { type Example, startExample } from './example.js';
import { type Identities, prepareIdentities, writeContext } from './identities.js';
import { type Layout, layoutOf } from './layout.js';
import { endLeftovers } from './leftovers.js';
import { boundLog } from './log-file.js';
import { type Places, takePlaces } from './places.js';
import { cellReady, serverReady, untilReady } from './readiness.js';
import { cellSettings, serverSettings, thisMachine, writeSettings } from './settings.js';
import type { Steps } from './steps.js';
import { QUIET, type Stoppable, stopInOrder } from './stopping.js';

/** What is to be started. */
export interface UpOptions {
  dataDir: string;
  cells: number;
  /** A database that exists; undefined: a private one. */
  databaseUrl: string | undefined;
  example: boolean;
  env: NodeJS.ProcessEnv;
}

/** What runs now. */
export interface Running {
  layout: Layout;
  server: string;
  example: Example | undefined;
}

const LOG_CHECK_MS = 60_000;
/** A cell stops its containers first, for which it gives itself 30 s. */
const CELL_GRACE_MS = 45_000;
const SERVER_GRACE_MS = 15_000;

/**
 * Everything on this machine: certificates, database, server, cells, example. What has been started stops in the opposite order,
 * also when the start fails half-way.
 */
export class Up {
  readonly #started: Stoppable[] = [];
  readonly #children: Child[] = [];
  #logCheck: NodeJS.Timeout | undefined;

  constructor(
    private readonly options: UpOptions,
    private readonly steps: Steps,
  ) {}

  /** Whether there is something to stop that people would care about. */
  get runsSomething(): boolean {
    return this.#started.some(({ name }) => !QUIET.has(name));
  }

  /** Starts everything; rejects when something can't be started, or the signal aborts. Call stop in either case. */
  async start(signal: AbortSignal): Promise<Running> {
    const { dataDir, cells } = this.options;
    const lock = await DataLock.acquire(dataDir);
    this.#started.push({ name: 'lock', stop: () => lock.release() });
    const layout = layoutOf(dataDir);
    const left = await endLeftovers(layout.run);
    if (left.length > 0)
      await this.steps.tell('an earlier start', `was killed; ended what it left running: ${left.join(', ')}`);
    const { places, release } = await takePlaces(layout.places, cells);
    this.#started.push({ name: 'places', stop: release });
    const ids = Array.from({ length: cells }, (_, i) => `cell-${i + 1}`);

    const identities = await this.steps.run('certificates', () => prepareIdentities(layout, ids));
    signal.throwIfAborted();
    // Both take time and neither needs the other.
    const rootFs = this.steps.prepare(() => buildBusyboxRootFs(join(layout.rootFs, 'busybox')));
    const databaseUrl = await this.#database(layout);
    signal.throwIfAborted();
    const server = `127.0.0.1:${places.serverPort}`;
    const context = writeContext(layout, server, identities.client);
    const client = this.#connect(context);
    await this.#server(layout, places, identities, databaseUrl, client, signal);
    await this.steps.run('root filesystem', rootFs, () => 'preloaded:busybox');
    signal.throwIfAborted();
    await this.#cells(layout, places, identities, client, signal);
    this.#logCheck = setInterval(() => this.#boundLogs(), LOG_CHECK_MS);
    return { layout, server, example: this.options.example ? await this.#example(client, signal) : undefined };
  }

  /** Stops what was started, last things first. Once `forced` aborts, without waiting for grace periods. */
  async stop(forced: AbortSignal): Promise<void> {
    clearInterval(this.#logCheck);
    await stopInOrder(this.#started.splice(0).reverse(), this.steps, forced);
  }

  async #database(layout: Layout): Promise<string> {
    const { databaseUrl } = this.options;
    if (databaseUrl !== undefined) return databaseUrl;
    const database = await this.steps.run(
      'database',
      () =>
        KeptDatabase.open(
          () => PrivateMariaDb.start({ folder: layout.database }),
          (event) => void this.steps.tell('database', describeDatabaseEvent(event)),
        ),
      ({ pid }) => `private MariaDB, pid ${pid}`,
    );
    this.#started.push({ name: 'database', stop: () => database.stop() });
    return database.url;
  }

  async #server(
    layout: Layout,
    places: Places,
    identities: Identities,
    databaseUrl: string,
    client: RiveraClient,
    signal: AbortSignal,
  ): Promise<void> {
    const settings = serverSettings({
      port: places.serverPort,
      databaseUrl,
      identity: identities.server,
      sshPort: places.sshPort,
      sshHostKey: layout.sshHostKey,
    });
    await this.steps.run(
      'server',
      async () => {
        const child = this.#role(layout, { role: 'server', name: 'server', settings, graceMs: SERVER_GRACE_MS });
        await untilReady(child, () => serverReady(client, signal), signal);
        return child;
      },
      ({ pid }) => `127.0.0.1:${places.serverPort}, ssh ${places.sshPort}, pid ${pid}`,
    );
  }

  async #cells(
    layout: Layout,
    { slot, serverPort, cellPorts }: Places,
    identities: Identities,
    client: RiveraClient,
    signal: AbortSignal,
  ): Promise<void> {
    const machine = thisMachine(layout.root);
    const since = Date.now();
    const start = [...identities.cells].map(([id, identity], index) => {
      const facts = {
        id,
        index,
        cells: identities.cells.size,
        slot,
        port: cellPorts[index] ?? 0,
        serverPort,
        identity,
        machine,
      };
      mkdirSync(layout.cell(id), { recursive: true, mode: 0o700 });
      const settings = cellSettings(layout, facts);
      const child = this.#role(layout, { role: 'cell', name: id, settings, graceMs: CELL_GRACE_MS });
      return { id, child };
    });
    await this.steps.run(
      count(start.length, 'cell'),
      () =>
        Promise.all(
          start.map(({ id, child }) => untilReady(child, () => cellReady(client, id, since, signal), signal)),
        ),
      () => start.map(({ id, child }) => `${id}, pid ${child.pid}`).join('; '),
    );
  }

  #role(layout: Layout, role: { role: string; name: string; settings: object; graceMs: number }): Child {
    const config = writeSettings(layout, role.name, role.settings);
    const main = fileURLToPath(new URL(`../main${extname(import.meta.url)}`, import.meta.url));
    const child = new Child(
      {
        name: role.name,
        command: process.execPath,
        args: [...process.execArgv, main, role.role, '--config', config],
        env: roleEnvironment(this.options.env),
        logFile: join(layout.logs, `${role.name}.log`),
        pidFile: join(layout.run, `${role.name}.pid`),
        stopGraceMs: role.graceMs,
      },
      (event) => void this.#tell(event),
    );
    this.#children.push(child);
    this.#started.push({ name: role.name, stop: (forced) => child.stop(forced) });
    child.start();
    return child;
  }

  #connect(context: ConnectionContext): RiveraClient {
    const { servers, ca, cert, key } = context;
    const client = connect({ servers, tls: { caFile: ca, certFile: cert, keyFile: key } });
    this.#started.push({ name: 'client', stop: async () => client.close() });
    return client;
  }

  #example(client: RiveraClient, signal: AbortSignal): Promise<Example> {
    return this.steps.run(
      'example app',
      () => startExample(client, signal),
      (example) => (example.kind === 'answers' ? `${example.name}, ${example.url}` : example.why),
    );
  }

  async #tell(event: ChildEvent): Promise<void> {
    switch (event.kind) {
      case 'died':
        return this.steps.tell(event.name, `ended (${event.how}); starts again in ${formatTook(event.restartInMs)}`);
      case 'started':
        return event.restarts > 0 ? this.steps.tell(event.name, `runs again, pid ${event.pid}`) : undefined;
      case 'killed':
        return this.steps.tell(event.name, 'did not end in time and was killed');
    }
  }

  #boundLogs(): void {
    for (const { spec } of this.#children) boundLog(spec.logFile);
  }
}

/** Settings come from the file alone: a variable meant for the client commands (RIVERA_SERVERS …) must not reach a role. */
function roleEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('RIVERA_')));
}

function describeDatabaseEvent(event: DatabaseEvent): string {
  switch (event.kind) {
    case 'died':
      return `ended; starts again in ${formatTook(event.restartInMs)}`;
    case 'started':
      return `runs again, pid ${event.pid}`;
    case 'failed':
      return `could not be started: ${event.why}`;
  }
}
