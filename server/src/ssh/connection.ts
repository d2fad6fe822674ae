import { setMaxListeners } from 'node:events';
import type { RepServiceClient } from '@rivera/gen/rivera/rep/v1/rep_service';
import type { AuthContext, Connection } from 'ssh2';
import type { SshAudit } from './audit.js';
import type { Authenticator, Login, Proof } from './authenticator.js';
import { ChannelCount } from './channel-context.js';
import type { Traffic } from './channel-pipe.js';
import { serveChannels } from './channels.js';
import type { SshConfig } from './config.js';
import type { SshMetrics } from './metrics.js';
import type { Recordings } from './recordings.js';
import { Refused } from './refused.js';
import { Wire } from './wire.js';

/** Wrong answers of one connection, as OpenSSH has it. */
const MAX_ATTEMPTS = 6;
/** Time for people's programs to show why it ends, and to leave by themselves; then again for the disconnection to arrive. */
const LEAVE_MS = 1_000;
/** What may wait for a client that does not read: answers to its requests, as data heed its pace. */
const MAX_UNSENT_BYTES = 8 * 1024 * 1024;

export interface SshConnectionParts {
  readonly config: SshConfig;
  readonly authenticator: Authenticator;
  readonly audit: SshAudit;
  readonly metrics: SshMetrics;
  readonly recordings: Recordings | undefined;
  readonly cellOf: (login: Login) => RepServiceClient;
  /** Writes into the application's log. Never throws. */
  readonly tell: (login: Login, text: string) => void;
  /** Counts a login; its reason when there are too many. */
  readonly admit: (login: Login) => string | undefined;
  readonly from: string;
  readonly address: string;
}

/** Everything that one client does, from its first attempt to log in to its end. */
export class SshConnection {
  readonly #wire: Wire;
  readonly #over = new AbortController();
  readonly #leaving = new AbortController();
  readonly #work = new Set<Promise<void>>();
  readonly #finished = this.#untilFinished();
  /** Writes the end into the record. */
  #record: ((end: Traffic & { why: string }) => void) | undefined;
  #channels: ChannelCount | undefined;
  #login: Login | undefined;
  #attempts = 0;
  #up = 0;
  #down = 0;
  #why = 'the client left';
  #lastActive = performance.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly parts: SshConnectionParts,
  ) {
    // Every channel waits for the end.
    setMaxListeners(0, this.#over.signal, this.#leaving.signal);
    connection.on('authentication', (context) => void this.#authenticate(context));
    connection.on('error', (error) => {
      if (!this.#leaving.signal.aborted) this.#why = error.message;
      // What ssh2 ends for itself it only half closes; who is silent would keep the other half.
      this.#cutLater();
    });
    this.#wire = new Wire(connection, {
      active: () => this.#active(),
      broken: (why) => this.#break(why),
    });
  }

  get login(): Login | undefined {
    return this.#login;
  }

  /**
   * Ends it. Those at its channels are told why; then the client itself, should it stay, as when it only forwards ports. A client that
   * does not answer is cut off.
   */
  end(why: string): void {
    if (this.#leaving.signal.aborted) return;
    this.#why = why;
    this.#leaving.abort(why);
    const disconnect = () => {
      this.#wire.disconnect(why);
      this.#cutLater();
    };
    if (this.#channels?.open) this.#timer = setTimeout(disconnect, LEAVE_MS);
    else disconnect();
  }

  /** Called when the socket is gone. */
  closed(): void {
    clearTimeout(this.#timer);
    this.#over.abort();
  }

  /** Resolves when nothing of it is left: its socket is gone, its processes have been told, its record is written. Never rejects. */
  finished(): Promise<void> {
    return this.#finished;
  }

  async #untilFinished(): Promise<void> {
    const { signal } = this.#over;
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    while (this.#work.size > 0) await Promise.all(this.#work);
    this.#record?.({ up: this.#up, down: this.#down, why: this.#why });
  }

  /** Ends it when nothing has moved for so long, or when its client does not read its answers. */
  check(now: number): void {
    const { idleTimeout } = this.parts.config;
    if (this.#wire.socket.writableLength > MAX_UNSENT_BYTES) this.#break('the client does not read what it asked for');
    if (this.#login && idleTimeout > 0 && now - this.#lastActive > idleTimeout) {
      this.end(`nothing moved on this connection for ${idleTimeout / 1_000} seconds`);
    }
  }

  #active(): void {
    this.#lastActive = performance.now();
  }

  /** Whoever breaks the rules is not waited for. */
  #break(why: string): void {
    if (!this.#leaving.signal.aborted) this.#why = why;
    this.#wire.socket.destroy();
  }

  #cutLater(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#wire.socket.destroy(), LEAVE_MS);
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
      const cell = this.parts.cellOf(found);
      const full = this.parts.admit(found);
      if (full !== undefined) throw new Refused(full, { known: true });
      this.#begin(found, user, cell);
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

  #begin(login: Login, user: string, cell: RepServiceClient): void {
    const { audit, tell, from } = this.parts;
    this.#login = login;
    this.#active();
    this.#record = audit.loggedIn({ user, from }, login);
    tell(login, `Successful remote access by ${from}`);
    this.#over.signal.addEventListener('abort', () => tell(login, `Remote access ended for ${from}`), { once: true });
    this.connection.once('ready', () => this.#serve(login, cell));
  }

  #serve(login: Login, cell: RepServiceClient): void {
    const { config, audit, metrics, recordings } = this.parts;
    const channels = new ChannelCount(config.maxChannels);
    this.#channels = channels;
    serveChannels(this.connection, {
      config,
      login,
      audit,
      cell,
      wire: this.#wire,
      recordings,
      signal: this.#over.signal,
      leaving: this.#leaving.signal,
      enter: () => channels.enter(),
      leave: () => channels.leave(),
      active: () => this.#active(),
      count: ({ up, down }) => {
        this.#up += up;
        this.#down += down;
        metrics.bytes.add(up, { direction: 'up' });
        metrics.bytes.add(down, { direction: 'down' });
      },
      end: (why) => this.end(why),
      follow: (work) => {
        const followed = work
          .catch((error: unknown) => audit.warn(error, 'a channel did not end well'))
          .finally(() => this.#work.delete(followed));
        this.#work.add(followed);
      },
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
  // ssh2 calls all of RSA by one name, and the hash of SHA-1 by none.
  const algorithm = key.algo === 'ssh-rsa' && hashAlgo ? `rsa-${hashAlgo.replace('sha', 'sha2-')}` : key.algo;
  return { method: 'publickey', algorithm, blob: key.data, verify };
}
