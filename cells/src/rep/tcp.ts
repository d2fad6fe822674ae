import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import type {
  ConnectRequest,
  ConnectResponse,
  ConnectStart,
  ListenRequest,
  ListenResponse,
  TcpAddress,
} from '@rivera/gen/rivera/rep/v1/rep_service';
import { RiveraError } from '@rivera/kit/errors';
import type { CallContext } from '@rivera/kit/grpc/host';
import type { Executor } from '../executor/executor.js';
import { Bell } from './bell.js';
import { findLiveContainer, toRiveraError } from './container-target.js';
import { pacedWrite } from './paced-write.js';

const MAX_HOST = 255;
/** Bytes of one message. */
const MAX_DATA_BYTES = 1024 * 1024;
/** How long an accepted connection waits to be taken. */
const TAKE_MS = 15_000;
/** Accepted connections of one listener that nobody has taken; more are closed. */
const MAX_ACCEPTED = 64;

interface Accepted {
  connection: Duplex;
  containerGuid: string;
  late: NodeJS.Timeout;
}

/** TCP inside containers' networks: connections out of them, and connections that come in at ports listened on for somebody. */
export class ContainerTcp {
  readonly #accepted = new Map<string, Accepted>();

  constructor(
    private readonly executor: Executor,
    private readonly cellId: string,
  ) {}

  /** Passes bytes both ways at the pace of the slower side; each direction ends by itself. */
  async *connect(requests: AsyncIterable<ConnectRequest>, { signal }: CallContext): AsyncIterable<ConnectResponse> {
    const incoming = requests[Symbol.asyncIterator]();
    const first = (await incoming.next()).value as ConnectRequest | undefined;
    if (first?.message?.$case !== 'start') throw new RiveraError('INVALID_REQUEST', 'the first message starts');
    const connection = await this.#open(first.message.value);
    const end = () => void connection.destroy();
    connection.on('error', () => undefined);
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    feed(connection, incoming).catch(end);
    try {
      yield { message: { $case: 'connected', value: { cellId: this.cellId } } };
      for await (const data of connection.iterator({ destroyOnReturn: false })) {
        yield { message: { $case: 'data', value: data as Buffer } };
      }
      yield { message: { $case: 'closed', value: true } };
      // The other direction may go on; it ends with the requests.
      if (!connection.writableFinished && !connection.destroyed) await once(connection, 'close').catch(() => undefined);
    } catch (error) {
      throw new RiveraError('CONNECT_FAILED', error instanceof Error ? error.message : String(error), { cause: error });
    } finally {
      signal.removeEventListener('abort', end);
      end();
    }
  }

  /** Tells of each connection that comes in. The port closes with the stream. */
  async *listen({ target, address }: ListenRequest, { signal }: CallContext): AsyncIterable<ListenResponse> {
    const { guid } = findLiveContainer(this.executor, target);
    const { host, port } = checked(address, { anyPort: true });
    const bell = new Bell();
    const news: ListenResponse[] = [];
    const waiting = new Set<string>();
    let over = false;
    const stop = () => {
      over = true;
      bell.ring();
    };
    const listener = await this.#inContainer((executor) =>
      executor.listen?.(guid, { host, port }, (connection, origin) => {
        connection.on('error', () => undefined);
        for (const id of waiting) if (!this.#accepted.has(id)) waiting.delete(id);
        if (over || waiting.size >= MAX_ACCEPTED) return void connection.destroy();
        const id = randomUUID();
        const late = setTimeout(() => this.#take(id)?.connection.destroy(), TAKE_MS);
        this.#accepted.set(id, { connection, containerGuid: guid, late });
        waiting.add(id);
        news.push({ message: { $case: 'accepted', value: { acceptedId: id, origin } } });
        bell.ring();
      }),
    );
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    listener.onEnd(stop);
    try {
      yield { message: { $case: 'port', value: listener.port } };
      while (!over) {
        const next = news.shift();
        if (next) yield next;
        else await bell.heard();
      }
    } finally {
      signal.removeEventListener('abort', stop);
      over = true;
      listener.close();
      for (const id of waiting) this.#take(id)?.connection.destroy();
    }
  }

  async #open({ target, endpoint }: ConnectStart): Promise<Duplex> {
    const { guid } = findLiveContainer(this.executor, target);
    switch (endpoint?.$case) {
      case 'acceptedId': {
        const found = this.#accepted.get(endpoint.value);
        if (found?.containerGuid !== guid)
          throw new RiveraError('CONNECT_FAILED', 'there is no such connection any more');
        this.#take(endpoint.value);
        return found.connection;
      }
      case 'address': {
        const address = checked(endpoint.value, { anyPort: false });
        return this.#inContainer((executor) => executor.connect?.(guid, address));
      }
      default:
        throw violation('endpoint', 'must be an address or an accepted_id');
    }
  }

  #take(id: string): Accepted | undefined {
    const found = this.#accepted.get(id);
    this.#accepted.delete(id);
    clearTimeout(found?.late);
    return found;
  }

  async #inContainer<T>(work: (executor: Executor) => Promise<T> | undefined): Promise<T> {
    try {
      const result = await work(this.executor);
      if (result === undefined) throw new RiveraError('CONNECT_FAILED', 'containers have no network here');
      return result;
    } catch (error) {
      throw toRiveraError(error);
    }
  }
}

async function feed(connection: Duplex, incoming: AsyncIterator<ConnectRequest>): Promise<void> {
  for (let next = await incoming.next(); !next.done; next = await incoming.next()) {
    const { message } = next.value;
    if (message?.$case === 'closed') break;
    if (message?.$case !== 'data' || message.value.length > MAX_DATA_BYTES) {
      throw new RiveraError(
        'INVALID_REQUEST',
        `after the first message comes data, at most ${MAX_DATA_BYTES} bytes each`,
      );
    }
    if (connection.destroyed || connection.writableEnded) return;
    await pacedWrite(connection, message.value);
  }
  connection.end();
}

function checked(address: TcpAddress | undefined, { anyPort }: { anyPort: boolean }): { host: string; port: number } {
  const { host = '', port = 0 } = address ?? {};
  if (host.length > MAX_HOST || !/^[A-Za-z0-9._:%-]*$/.test(host) || (host === '' && !anyPort)) {
    throw violation('address.host', `must be an address or a name of at most ${MAX_HOST} characters`);
  }
  if (port > 65_535 || (port === 0 && !anyPort)) throw violation('address.port', 'must be 1..65535');
  return { host, port };
}

function violation(field: string, description: string): RiveraError {
  return new RiveraError('INVALID_REQUEST', `${field} ${description}`, { violations: [{ field, description }] });
}
