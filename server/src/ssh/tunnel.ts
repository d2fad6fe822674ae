import type { ContainerTarget } from '@rivera/gen/rivera/rep/v1/container';
import type {
  ConnectRequest,
  ConnectResponse,
  ConnectStart,
  RepServiceClient,
} from '@rivera/gen/rivera/rep/v1/rep_service';
import { type BidiStream, bidi } from '@rivera/kit/grpc/dial';
import type { ServerChannel } from 'ssh2';
import type { ChannelContext } from './channel-context.js';
import { ChannelWriter, readChannel, type Traffic } from './channel-pipe.js';

/** A TCP connection in a container's network, tied to a channel: each direction ends by itself. */
export class Tunnel {
  readonly traffic: Traffic = { up: 0, down: 0 };
  readonly #end = new AbortController();
  readonly #stream: BidiStream<ConnectRequest, ConnectResponse>;
  readonly #responses: AsyncIterator<ConnectResponse>;

  private constructor(cell: RepServiceClient, signal: AbortSignal) {
    this.#stream = bidi(() => cell.connect(), AbortSignal.any([signal, this.#end.signal]));
    this.#responses = this.#stream.responses[Symbol.asyncIterator]();
  }

  /** Resolves when the connection stands. @throws RiveraError CONNECT_FAILED with the reason */
  static async open(
    cell: RepServiceClient,
    target: ContainerTarget,
    endpoint: ConnectStart['endpoint'],
    signal: AbortSignal,
  ): Promise<Tunnel> {
    const tunnel = new Tunnel(cell, signal);
    try {
      void tunnel.#stream.write({ message: { $case: 'start', value: { target, endpoint } } });
      const first = await tunnel.#responses.next();
      if (first.done || first.value.message?.$case !== 'connected') throw new Error('the cell broke off');
      return tunnel;
    } catch (error) {
      tunnel.close();
      throw error;
    }
  }

  close(): void {
    this.#end.abort();
  }

  /** Passes bytes until both directions have ended. Never rejects; tells what broke it. */
  async run(
    channel: ServerChannel,
    { signal, wire, active }: Pick<ChannelContext, 'signal' | 'wire' | 'active'>,
  ): Promise<string | undefined> {
    // ssh2 closes a channel of its server when it ends it, so that its own words for half an end are used.
    const close = () => this.close();
    channel.once('close', close);
    signal.addEventListener('abort', close, { once: true });
    const up = readChannel(channel, async (data) => {
      this.traffic.up += data.length;
      await this.#stream.write({ message: { $case: 'data', value: data } });
    }).then(() => this.#stream.write({ message: { $case: 'closed', value: true } }));
    up.catch(() => undefined);
    try {
      await this.#down(channel, new ChannelWriter(channel, wire), active);
      return undefined;
    } catch (error) {
      if (this.#end.signal.aborted || signal.aborted) return undefined;
      return error instanceof Error ? error.message : String(error);
    } finally {
      signal.removeEventListener('abort', close);
      channel.off('close', close);
      this.close();
      if (channel.writable) channel.end();
    }
  }

  async #down(channel: ServerChannel, writer: ChannelWriter, active: () => void): Promise<void> {
    for (let next = await this.#responses.next(); !next.done; next = await this.#responses.next()) {
      const { message } = next.value;
      if (message?.$case === 'closed') channel.eof();
      if (message?.$case !== 'data') continue;
      this.traffic.down += message.value.length;
      if (!(await writer.write(message.value))) return;
      active();
    }
  }
}
