import { Metadata, type ServiceDefinition } from '@grpc/grpc-js';
import { RiveraError } from '@rivera/kit/errors';
import type { DialledStream, OpenStream } from '@rivera/kit/grpc/dial';
import type { CallContext, GrpcHost } from '@rivera/kit/grpc/host';
import { silentLogger } from '@rivera/kit/log';
import type { Peer } from '@rivera/kit/tls/identity';
import type { Chance } from './chance.js';
import type { Coverage } from './coverage.js';
import type { Host } from './host.js';
import { type Inbox, SimulatedStream } from './stream.js';
import type { VirtualTime } from './virtual-time.js';

/** What a server listens with: the part of a gRPC host that roles use. */
export type Listener = Pick<GrpcHost, 'add' | 'setServing'>;

type Handler = (request: unknown, context: CallContext) => unknown;
type AnyStream = SimulatedStream<unknown, unknown>;

interface Endpoint {
  readonly host: Host;
  readonly handlers: Map<string, Handler>;
}

export interface NetworkOptions {
  readonly time: VirtualTime;
  readonly chance: Chance;
  readonly coverage: Coverage;
  /** A handler failed with what no peer may see: a defect. */
  readonly onDefect: (error: unknown, where: string) => void;
}

const METADATA = new Metadata();
/** Keepalive finds a silent break within this. */
const LONGEST_NOTICE_MS = 15_000;

/** What lies between processes. It keeps what gRPC promises (order, and nothing lost in the middle of a stream) and no more. */
export class Network {
  private readonly endpoints = new Map<string, Endpoint>();
  private readonly streams = new Set<AnyStream>();
  /** Names of processes that reach nobody. */
  private readonly isolated = new Set<string>();
  /** Of a hundred messages, so many take long. */
  delayedPercent = 2;

  constructor(private readonly options: NetworkOptions) {}

  /** What a server serves at an address from now on, in place of whoever did before. */
  listen(address: string, host: Host): Listener {
    const handlers = new Map<string, Handler>();
    this.endpoints.set(address, { host, handlers });
    return {
      add: (service: ServiceDefinition, implementation: object) => {
        for (const [name, { path }] of Object.entries(service)) {
          const handler = (implementation as Record<string, Handler | undefined>)[name];
          if (handler !== undefined) handlers.set(path, handler.bind(implementation));
        }
      },
      setServing: () => {},
    };
  }

  /** Opens streams of one method, as a process that is known by that name. */
  opener<Q, R>(from: Host, path: string, peer: Peer): OpenStream<Q, R> {
    return (address, signal) => this.open<Q, R>({ from, address, path, peer }, signal, (requests) => requests);
  }

  /** Opens a stream of responses to one request. */
  watch<Q, R>(from: Host, to: { address: string; path: string; peer: Peer }, request: Q, signal: AbortSignal) {
    return this.open<Q, R>({ from, ...to }, signal, () => request).responses;
  }

  /** Streams to a process, or from it. */
  streamsOf(host: Host): AnyStream[] {
    return [...this.streams].filter(({ client, server }) => client === host || server === host);
  }

  get openStreams(): AnyStream[] {
    return [...this.streams];
  }

  breakStream(stream: AnyStream, notice: { clientMs: number; serverMs: number }): void {
    this.options.coverage.note('messages lost in a broken stream', stream.break(notice));
  }

  /** A process is no more: its machine says so, or says nothing. */
  hostDied(host: Host, tellsPeers: boolean): void {
    for (const stream of this.streamsOf(host)) {
      const noticeMs = tellsPeers ? this.options.chance.between(1, 50) : this.longNotice();
      this.breakStream(stream, { clientMs: noticeMs, serverMs: noticeMs });
    }
  }

  /** Nothing passes between this process and all others; they find out by and by. */
  isolate(host: Host): void {
    this.isolated.add(host.name);
    for (const stream of this.streamsOf(host)) {
      this.breakStream(stream, { clientMs: this.longNotice(), serverMs: this.longNotice() });
    }
  }

  rejoin(name: string): void {
    this.isolated.delete(name);
  }

  /** The handler of an address, when a request can get there. */
  reach(from: Host, address: string, path: string): { host: Host; handler: Handler } | undefined {
    const endpoint = this.endpoints.get(address);
    const handler = endpoint?.handlers.get(path);
    if (endpoint === undefined || handler === undefined || !endpoint.host.alive) return undefined;
    if (this.isolated.has(from.name) || this.isolated.has(endpoint.host.name)) return undefined;
    return { host: endpoint.host, handler };
  }

  latencyMs(): number {
    const { chance, coverage } = this.options;
    if (!chance.percent(this.delayedPercent)) return chance.between(1, 8);
    coverage.note('message delayed');
    return chance.between(50, 3_000);
  }

  context(path: string, peer: Peer, signal: AbortSignal): CallContext {
    return { peer, signal, log: silentLogger, remoteAddress: peer.name, method: path, metadata: METADATA };
  }

  /** What a caller learns of a handler's failure. */
  failureOf(error: unknown, where: string): RiveraError {
    if (error instanceof RiveraError && error.reason !== 'INTERNAL') return error;
    this.options.onDefect(error, where);
    return new RiveraError('INTERNAL', 'internal error');
  }

  private open<Q, R>(
    to: { from: Host; address: string; path: string; peer: Peer },
    signal: AbortSignal,
    requestOf: (requests: Inbox<Q>) => unknown,
  ): DialledStream<Q, R> {
    const { from, address, path, peer } = to;
    const { chance } = this.options;
    const endpoint = this.reach(from, address, path);
    const server = endpoint?.host ?? from;
    const forget = (each: SimulatedStream<Q, R>) => this.streams.delete(each as unknown as AnyStream);
    const stream = new SimulatedStream<Q, R>(from, server, () => this.latencyMs(), forget);
    const cancel = () => stream.cancel(chance.percent(50));
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel, { once: true });
    if (endpoint === undefined) {
      const refusal = new RiveraError('UNAVAILABLE', `nobody answers at ${address}`);
      from.after(chance.between(1, 2_000), () => stream.endAtClient(refusal));
    } else {
      this.streams.add(stream as unknown as AnyStream);
      const { handler } = endpoint;
      const context = this.context(path, peer, stream.call.signal);
      server.after(this.latencyMs(), () => void this.serve(stream, () => handler(requestOf(stream.up.inbox), context)));
    }
    return {
      write: (message) => {
        const written = stream.write(message);
        written.catch(() => undefined);
        return written;
      },
      responses: stream.down.inbox,
      end: () => stream.up.end(),
      cancel,
      close: () => signal.removeEventListener('abort', cancel),
    };
  }

  private async serve<Q, R>(stream: SimulatedStream<Q, R>, handle: () => unknown): Promise<void> {
    if (stream.closed) return;
    try {
      const responses = (handle() as AsyncIterable<R>)[Symbol.asyncIterator]();
      stream.call.signal.addEventListener('abort', () => void responses.return?.().catch(() => undefined), {
        once: true,
      });
      for (let next = await responses.next(); !next.done; next = await responses.next()) stream.down.send(next.value);
      stream.finish();
    } catch (error) {
      stream.finish(stream.call.signal.aborted ? undefined : this.failureOf(error, 'a stream'));
    }
  }

  private longNotice(): number {
    return this.options.chance.between(1_000, LONGEST_NOTICE_MS);
  }
}
