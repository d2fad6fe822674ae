import type { RiveraClient } from '@rivera/sdk/client';
import { type ConnectionContext, type ConnectionFlags, resolveConnection } from './connection/context.js';
import { usageError } from './failures.js';
import type { Io } from './io.js';
import { parseMilliseconds } from './recipe/quantities.js';
import { Output, wantsColour } from './terminal/output.js';

/** Options that commands have in common, as commander leaves them. */
export interface Settings extends ConnectionFlags {
  json?: boolean;
  color?: boolean;
  /** Milliseconds. */
  timeout?: number;
}

/** More than fit into any time that is worth waiting. */
const PATIENT_ATTEMPTS = 10_000;

/** What a running command has at hand. */
export class Session {
  readonly out: Output;
  #client: Promise<RiveraClient> | undefined;
  #servers: readonly string[] | undefined;

  constructor(
    readonly io: Io,
    readonly settings: Settings,
  ) {
    const noColor = settings.color === false;
    this.out = new Output(io, {
      json: settings.json === true,
      colour: wantsColour(io.stdout, io.env, noColor),
      noteColour: wantsColour(io.stderr, io.env, noColor),
    });
  }

  /** Aborted by Ctrl-C. */
  get signal(): AbortSignal {
    return this.io.interrupts.signal;
  }

  /** The servers that have been asked something; undefined when none has. */
  get servers(): readonly string[] | undefined {
    return this.#servers;
  }

  /** How the servers are reached. */
  connection(): ConnectionContext {
    return resolveConnection(this.settings, this.io);
  }

  /** The client; connected on first use, closed with the session. The SDK is loaded only then, as help and completion do without. */
  client(): Promise<RiveraClient> {
    this.#client ??= this.#open();
    return this.#client;
  }

  async close(): Promise<void> {
    const client = await this.#client?.catch(() => undefined);
    await client?.close();
  }

  async #open(): Promise<RiveraClient> {
    const { servers, ca, cert, key } = this.connection();
    this.#servers = servers;
    const { connect } = await import('@rivera/sdk/client');
    const patience = this.settings.timeout ?? timeoutFrom(this.io.env);
    try {
      return connect({
        servers,
        tls: { caFile: ca, certFile: cert, keyFile: key },
        // Who says how long it may take wants it tried for so long; who does not wants to hear of trouble soon.
        ...(patience === undefined ? {} : { deadlineMs: patience, maxAttempts: PATIENT_ATTEMPTS }),
      });
    } catch (error) {
      // Nothing has been asked of anybody yet: what fails here is a setting.
      throw usageError(error instanceof Error ? error.message : String(error));
    }
  }
}

function timeoutFrom(env: NodeJS.ProcessEnv): number | undefined {
  return env.RIVERA_TIMEOUT ? parseMilliseconds(env.RIVERA_TIMEOUT) : undefined;
}
