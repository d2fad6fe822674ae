import type { RepServiceClient } from '@rivera/gen/rivera/rep/v1/rep_service';
import type { AuthContext, Connection, ServerChannel } from 'ssh2';
import type { SshAudit } from './audit.js';
import type { Authenticator, Login, Proof } from './authenticator.js';
import type { SshConfig } from './config.js';
import { forwardOut, RemoteForwards } from './forwarding.js';
import type { SshMetrics } from './metrics.js';
import { Refused } from './refused.js';
import { serveSession } from './session.js';

/** Wrong answers of one connection, as OpenSSH has it. */
const MAX_ATTEMPTS = 6;
/** What a channel may hold for a slow reader: twice its window; more comes only from a client that does not heed it. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;

export interface SshConnectionParts {
  readonly config: SshConfig;
  readonly authenticator: Authenticator;
  readonly audit: SshAudit;
  readonly metrics: SshMetrics;
  readonly cellOf: (login: Login) => RepServiceClient;
  /** Writes into the application's log. */
  readonly tell: (login: Login, text: string) => void;
  /** Counts a login; its reason when there are too many. */
  readonly admit: (login: Login) => string | undefined;
  readonly from: string;
  readonly address: string;
}

/** Everything that one client does, from its first attempt to log in to its end. */
export class SshConnection {
  readonly #over = new AbortController();
  readonly #channels = new Set<ServerChannel>();
  #login: Login | undefined;
  #attempts = 0;
  #open = 0;
  #up = 0;
  #down = 0;
  #why = 'the client left';
  #lastActive = Date.now();

  constructor(
    private readonly connection: Connection,
    private readonly parts: SshConnectionParts,
  ) {
    connection.on('authentication', (context) => void this.#authenticate(context));
    connection.on('error', (error) => {
      this.#why = error.message;
    });
    watchActivity(connection, () => this.#active());
  }

  get login(): Login | undefined {
    return this.#login;
  }

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** Ends it; the client learns nothing but the end. */
  end(why: string): void {
    this.#why = why;
    this.connection.end();
  }

  /** Called when the socket is gone. */
  closed(): void {
    this.#over.abort();
  }

  /** Ends it when nothing has moved for so long, or when its client sends more than it may. */
  check(now: number): void {
    const { idleTimeout } = this.parts.config;
    if (idleTimeout > 0 && now - this.#lastActive > idleTimeout) this.end('idle');
    for (const channel of this.#channels) {
      if (channel.readableLength > MAX_UNREAD_BYTES) this.end('the client sent more than the channel has room for');
    }
  }

  #active(): void {
    this.#lastActive = Date.now();
  }

  async #authenticate(context: AuthContext): Promise<void> {
    const { authenticator, audit, metrics, from, address } = this.parts;
    const user = context.username;
    const methods = authenticator.methods(user);
    const proof = proofOf(context);
    if (!proof || !methods.some((method) => method === proof.method)) return context.reject(methods);
    try {
      if (++this.#attempts > MAX_ATTEMPTS) throw new Refused('too many attempts');
      const found = await authenticator.authenticate({ user, address, proof, signal: this.#over.signal });
      if (this.#over.signal.aborted) return;
      if (found === 'would-do') {
        this.#attempts--;
        return context.accept();
      }
      const full = this.parts.admit(found);
      if (full !== undefined) throw new Refused(full, { known: true });
      this.#begin(found, user);
      metrics.logins.add(1, { outcome: 'in' });
      context.accept();
    } catch (error) {
      metrics.logins.add(1, { outcome: 'refused' });
      audit.refused({ user, from }, context.method, error instanceof Error ? error.message : String(error));
      if (!(error instanceof Refused)) audit.warn(error, 'a login could not be judged');
      if (this.#over.signal.aborted) return;
      context.reject(methods);
      if (this.#attempts > MAX_ATTEMPTS) this.end('too many attempts');
    }
  }

  #begin(login: Login, user: string): void {
    const { audit, tell, from } = this.parts;
    this.#login = login;
    this.#active();
    const done = audit.loggedIn({ user, from }, login);
    tell(login, `Successful remote access by ${from}`);
    this.#over.signal.addEventListener(
      'abort',
      () => {
        done({ up: this.#up, down: this.#down, why: this.#why });
        tell(login, `Remote access ended for ${from}`);
      },
      { once: true },
    );
    this.connection.once('ready', () => this.#serve(login));
  }

  #serve(login: Login): void {
    const { connection } = this;
    const { config, audit, metrics } = this.parts;
    const context = {
      config,
      login,
      audit,
      cell: this.parts.cellOf(login),
      signal: this.#over.signal,
      enter: () => {
        if (this.#open >= config.maxChannels) return false;
        this.#open++;
        return true;
      },
      leave: () => {
        this.#open--;
      },
      count: ({ up, down }: { up: number; down: number }) => {
        this.#up += up;
        this.#down += down;
        metrics.bytes.add(up, { direction: 'up' });
        metrics.bytes.add(down, { direction: 'down' });
      },
      opened: (channel: ServerChannel) => {
        this.#channels.add(channel);
        channel.once('close', () => this.#channels.delete(channel));
      },
    };
    connection.on('session', (accept, reject) => {
      if (!context.enter()) {
        audit.channelRefused({ kind: 'session', why: 'too many channels' });
        return reject();
      }
      const session = accept();
      session.once('close', () => context.leave());
      serveSession(session, context);
    });
    connection.on('tcpip', (accept, reject, info) => void forwardOut(accept, reject, info, context));
    const forwards = new RemoteForwards(connection, context);
    connection.on('request', (accept, reject, name, info) => {
      if (name === 'tcpip-forward') void forwards.listen(info as never, accept, reject);
      else if (name === 'cancel-tcpip-forward' && forwards.cancel(info as never)) accept?.();
      else reject?.();
    });
  }
}

function proofOf(context: AuthContext): Proof | undefined {
  if (context.method === 'password') return { method: 'password', password: context.password };
  if (context.method !== 'publickey') return undefined;
  const { key, signature, blob, hashAlgo } = context;
  const verify =
    signature && blob
      ? (known: import('ssh2').ParsedKey) => known.verify(blob, signature, hashAlgo) === true
      : undefined;
  return { method: 'publickey', algorithm: key.algo, blob: key.data, verify };
}

/**
 * Tells of everything that a client does of its own accord. That its keepalives keep it from being idle is a promise of the reference
 * (spec access §10, fact 19), and that answers to ours don't follows; ssh2 has no event for either, so its handlers are listened at.
 */
function watchActivity(connection: Connection, active: () => void): void {
  const { _protocol: protocol } = connection as unknown as {
    _protocol: { _handlers: Record<string, ((...args: unknown[]) => unknown) | undefined> };
  };
  for (const name of ['GLOBAL_REQUEST', 'CHANNEL_OPEN', 'CHANNEL_DATA', 'CHANNEL_REQUEST', 'CHANNEL_WINDOW_ADJUST']) {
    const handler = protocol._handlers[name];
    if (!handler) throw new Error(`ssh2 has no handler ${name} any more`);
    protocol._handlers[name] = (...args) => {
      active();
      return handler(...args);
    };
  }
}
