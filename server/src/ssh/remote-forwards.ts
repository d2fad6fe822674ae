import type { AcceptedConnection } from '@rivera/gen/rivera/rep/v1/rep_service';
import { serverStream } from '@rivera/kit/grpc/dial';
import type { Connection, ServerChannel } from 'ssh2';
import { type ChannelContext, TOO_MANY } from './channel-context.js';
import { whyLost } from './farewell.js';
import { Tunnel } from './tunnel.js';

/** Ports that one connection may have opened in its container, those that are just being opened included. */
const MAX_LISTENERS = 32;

/** Where a client wants a port in its container; port 0: any. */
export interface BindAddress {
  readonly bindAddr: string;
  readonly bindPort: number;
}

/** Serves `-R`: ports that a client has opened inside the container; each connection to one becomes a channel to the client. */
export class RemoteForwards {
  readonly #open = new Map<string, AbortController>();
  /** Ports on their way, and those that stand. */
  #count = 0;

  constructor(
    private readonly connection: Connection,
    private readonly context: ChannelContext,
  ) {}

  async listen(
    { bindAddr, bindPort }: BindAddress,
    accept: ((port?: number) => void) | undefined,
    reject: (() => void) | undefined,
  ): Promise<void> {
    const { audit, login, cell, signal } = this.context;
    const facts = { kind: 'tcpip-forward', at: `${bindAddr.slice(0, 255)}:${bindPort}` };
    if (this.#count >= MAX_LISTENERS || this.#open.has(`${bindAddr}:${bindPort}`)) {
      audit.channelRefused({ ...facts, why: 'too many ports, or the port is open already' });
      return reject?.();
    }
    this.#count++;
    const stop = new AbortController();
    const ended = AbortSignal.any([signal, stop.signal]);
    let bound: BindAddress | undefined;
    let done: ((end: object) => void) | undefined;
    try {
      const address = { host: hostOf(bindAddr), port: bindPort };
      const request = { target: login.target.location.target, address };
      for await (const { message } of serverStream(() => cell.listen(request), ended)) {
        if (message?.$case === 'port') {
          bound = { bindAddr, bindPort: message.value };
          this.#open.set(keyOf(bound), stop);
          done = audit.channelOpened({ ...facts, port: message.value });
          accept?.(message.value);
        }
        if (message?.$case === 'accepted' && bound) this.context.follow(this.#take(message.value, bound));
      }
      if (!bound) throw new Error('the cell broke off');
      // SSH has no word for a port that is gone; whoever still waits for connections from it has to learn of it.
      if (!ended.aborted) this.context.end(`port ${bound.bindPort} in the container was closed: log in again`);
    } catch (error) {
      if (bound && !ended.aborted) this.context.end(whyLost(error, login.target.location.cellId));
      if (bound) return;
      audit.channelRefused({ ...facts, why: whyLost(error, login.target.location.cellId) });
      if (!signal.aborted) reject?.();
    } finally {
      this.#count--;
      if (bound) this.#open.delete(keyOf(bound));
      done?.({});
    }
  }

  /** @returns whether there was such a port */
  cancel(address: BindAddress): boolean {
    const stop = this.#open.get(keyOf(address));
    stop?.abort();
    return stop !== undefined;
  }

  async #take({ acceptedId, origin }: AcceptedConnection, { bindAddr, bindPort }: BindAddress): Promise<void> {
    const { context } = this;
    const { cell, login, signal, audit } = context;
    const facts = { kind: 'forwarded-tcpip', from: `${origin?.host}:${origin?.port}`, port: bindPort };
    const room = context.enter();
    try {
      const endpoint = { $case: 'acceptedId', value: acceptedId } as const;
      const tunnel = await Tunnel.open(cell, login.target.location.target, endpoint, signal);
      // Taken in any case, so that whoever has connected learns at once that nobody serves him.
      const channel = room ? await this.#channel({ bindAddr, bindPort }, origin).catch(closing(tunnel)) : undefined;
      if (!channel) {
        tunnel.close();
        throw new Error(TOO_MANY);
      }
      const done = audit.channelOpened(facts);
      const failure = await tunnel.run(channel, context);
      context.count(tunnel.traffic);
      done({ ...tunnel.traffic, ...(failure !== undefined && { failure }) });
    } catch (error) {
      audit.channelRefused({ ...facts, why: error instanceof Error ? error.message : String(error) });
    } finally {
      if (room) context.leave();
    }
  }

  #channel({ bindAddr, bindPort }: BindAddress, origin: AcceptedConnection['origin']): Promise<ServerChannel> {
    return new Promise((resolve, reject) => {
      this.connection.forwardOut(bindAddr, bindPort, origin?.host ?? '', origin?.port ?? 0, (error, channel) => {
        if (error) reject(error);
        else resolve(channel as unknown as ServerChannel);
      });
    });
  }
}

function closing(tunnel: Tunnel): (error: unknown) => never {
  return (error) => {
    tunnel.close();
    throw error;
  };
}

function keyOf({ bindAddr, bindPort }: BindAddress): string {
  return `${bindAddr}:${bindPort}`;
}

/** In SSH an empty address or a star means every address, `localhost` the loopback of one family (RFC 4254 section 7.1). */
function hostOf(bindAddr: string): string {
  return bindAddr === '' || bindAddr === '*' ? '0.0.0.0' : bindAddr;
}
