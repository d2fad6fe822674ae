import { serverStream } from '@rivera/kit/grpc/dial';
import type { Connection, ServerChannel, TcpipRequestInfo } from 'ssh2';
import type { ChannelContext } from './session.js';
import { Tunnel } from './tunnel.js';

/** Ports that one connection may have opened in its container. */
const MAX_LISTENERS = 32;

/** Something that can be counted and refused. */
export interface ForwardingContext extends ChannelContext {
  /** Counts a channel as open; false: there are too many. */
  readonly enter: () => boolean;
  readonly leave: () => void;
}

/** Serves `-L` and `-D`: a connection from inside the container. What can't be reached is a channel that can't be opened. */
export async function forwardOut(
  accept: () => ServerChannel,
  reject: () => void,
  info: TcpipRequestInfo,
  context: ForwardingContext,
): Promise<void> {
  const { login, cell, signal, audit } = context;
  const facts = { kind: 'direct-tcpip', to: `${info.destIP.slice(0, 255)}:${info.destPort}` };
  if (!context.enter()) {
    audit.channelRefused({ ...facts, why: 'too many channels' });
    return reject();
  }
  try {
    const address = { host: info.destIP, port: info.destPort };
    const endpoint = { $case: 'address', value: address } as const;
    const tunnel = await Tunnel.open(cell, login.target.location.target, endpoint, signal);
    if (signal.aborted) return tunnel.close();
    const done = audit.channelOpened(facts);
    const channel = accept();
    context.opened(channel);
    const failure = await tunnel.run(channel, signal);
    context.count(tunnel.traffic);
    done({ ...tunnel.traffic, ...(failure !== undefined && { failure }) });
  } catch (error) {
    audit.channelRefused({ ...facts, why: error instanceof Error ? error.message : String(error) });
    if (!signal.aborted) reject();
  } finally {
    context.leave();
  }
}

/** Serves `-R`: ports that a client has opened inside the container; each connection to one becomes a channel to the client. */
export class RemoteForwards {
  readonly #open = new Map<string, AbortController>();

  constructor(
    private readonly connection: Connection,
    private readonly context: ForwardingContext,
  ) {}

  async listen(
    { bindAddr, bindPort }: { bindAddr: string; bindPort: number },
    accept: ((port?: number) => void) | undefined,
    reject: (() => void) | undefined,
  ): Promise<void> {
    const { audit, login, cell, signal } = this.context;
    const facts = { kind: 'tcpip-forward', at: `${bindAddr.slice(0, 255)}:${bindPort}` };
    if (this.#open.size >= MAX_LISTENERS || this.#open.has(`${bindAddr}:${bindPort}`)) {
      audit.channelRefused({ ...facts, why: 'too many ports, or the port is open already' });
      return reject?.();
    }
    const stop = new AbortController();
    let key = `${bindAddr}:${bindPort}`;
    let done: ((end: object) => void) | undefined;
    try {
      const address = { host: hostOf(bindAddr), port: bindPort };
      const request = { target: login.target.location.target, address };
      for await (const { message } of serverStream(
        () => cell.listen(request),
        AbortSignal.any([signal, stop.signal]),
      )) {
        if (message?.$case === 'port') {
          key = `${bindAddr}:${message.value}`;
          this.#open.set(key, stop);
          done = audit.channelOpened({ ...facts, port: message.value });
          accept?.(message.value);
        }
        const port = Number(key.slice(key.lastIndexOf(':') + 1));
        if (message?.$case === 'accepted') void this.#take(message.value, { bindAddr, bindPort: port });
      }
    } catch (error) {
      if (!done) {
        audit.channelRefused({ ...facts, why: error instanceof Error ? error.message : String(error) });
        if (!signal.aborted) reject?.();
      }
    } finally {
      this.#open.delete(key);
      done?.({});
    }
  }

  /** @returns whether there was such a port */
  cancel({ bindAddr, bindPort }: { bindAddr: string; bindPort: number }): boolean {
    const stop = this.#open.get(`${bindAddr}:${bindPort}`);
    stop?.abort();
    return stop !== undefined;
  }

  async #take(
    { acceptedId, origin }: { acceptedId: string; origin: { host: string; port: number } | undefined },
    { bindAddr, bindPort }: { bindAddr: string; bindPort: number },
  ): Promise<void> {
    const { context } = this;
    if (!context.enter()) return;
    const facts = { kind: 'forwarded-tcpip', from: `${origin?.host}:${origin?.port}`, port: bindPort };
    try {
      const endpoint = { $case: 'acceptedId', value: acceptedId } as const;
      const tunnel = await Tunnel.open(context.cell, context.login.target.location.target, endpoint, context.signal);
      const channel = await this.#channel({ bindAddr, bindPort }, origin).catch((error: unknown) => {
        tunnel.close();
        throw error;
      });
      context.opened(channel);
      const done = context.audit.channelOpened(facts);
      const failure = await tunnel.run(channel, context.signal);
      context.count(tunnel.traffic);
      done({ ...tunnel.traffic, ...(failure !== undefined && { failure }) });
    } catch (error) {
      context.audit.channelRefused({ ...facts, why: error instanceof Error ? error.message : String(error) });
    } finally {
      context.leave();
    }
  }

  #channel(
    { bindAddr, bindPort }: { bindAddr: string; bindPort: number },
    origin: { host: string; port: number } | undefined,
  ): Promise<ServerChannel> {
    return new Promise((resolve, reject) => {
      this.connection.forwardOut(bindAddr, bindPort, origin?.host ?? '', origin?.port ?? 0, (error, channel) => {
        if (error) reject(error);
        else resolve(channel as unknown as ServerChannel);
      });
    });
  }
}

/** In SSH an empty address or a star means every address, `localhost` the loopback of one family (RFC 4254 section 7.1). */
function hostOf(bindAddr: string): string {
  return bindAddr === '' || bindAddr === '*' ? '0.0.0.0' : bindAddr;
}
