import { Server, ServerCredentials, type ServiceDefinition, type UntypedHandleCall } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { Logger } from '../log.js';
import { type Identity, ROLES } from '../tls/identity.js';
import { type Access, AccessTable } from './access.js';
import { type AdapterOptions, adaptBidi, adaptClientStream, adaptServerStream, adaptUnary } from './adapters.js';
import type { AnyMethod, Bidi, ClientStream, Handlers, ServerStream, Unary } from './handlers.js';
import { type EncodedSize, HostedCall, OpenCalls } from './hosted-call.js';
import { DEFAULT_MAX_MESSAGE_BYTES, KEEPALIVE_TIME_MS, KEEPALIVE_TIMEOUT_MS } from './limits.js';
import { Listener } from './listener.js';
import { type CallObserver, together } from './observer.js';
import { generatedReflection, reflectionOf } from './reflection.js';
import { RunningHandlers } from './running.js';

export type { Access } from './access.js';
export type { Bidi, CallContext, ClientStream, Handlers, ServerStream, Unary } from './handlers.js';
export type { CallObserver, CallOutcome, ObservedCall } from './observer.js';

export interface GrpcHostOptions {
  readonly identity: Identity;
  readonly logger: Logger;
  /** Largest message that is received; default 4 MiB. */
  readonly maxMessageBytes?: number;
  /** Connections at once; more of them are closed. Default 8192, which leaves half of the usual file limit. */
  readonly maxConnections?: number;
  /** Calls that one connection may have open; more of them wait at the client. Default 1000. */
  readonly maxStreamsPerConnection?: number;
  /** Unary calls without a deadline get this one; default 60 s. */
  readonly defaultDeadlineMs?: number;
  /** A FileDescriptorSet for reflection; default: the one generated with the stubs. */
  readonly descriptors?: Uint8Array;
  /** Who counts, times and records calls. */
  readonly observers?: readonly CallObserver[];
}

/** What gRPC puts before each message. */
const FRAME_BYTES = 5;

/** How long close() waits after the last calls were ended, for their status to leave. */
const FLUSH_MS = 200;

/** A gRPC port: mutual TLS, roles per method, health, reflection, keepalive, bounds, and an orderly end. */
export class GrpcHost {
  readonly #server: Server;
  readonly #identity: Identity;
  readonly #logger: Logger;
  readonly #descriptors: Uint8Array | undefined;
  readonly #adapter: AdapterOptions;
  readonly #access = new AccessTable();
  readonly #open = new OpenCalls();
  readonly #running = new RunningHandlers();
  readonly #encoded = { bytes: 0 };
  readonly #health = new HealthImplementation({ '': 'NOT_SERVING' });
  readonly #services: string[] = [];
  readonly #maxConnections: number;
  #listener: Listener | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: GrpcHostOptions) {
    this.#identity = options.identity;
    this.#logger = options.logger;
    this.#descriptors = options.descriptors;
    this.#maxConnections = options.maxConnections ?? 8192;
    this.#adapter = {
      logger: options.logger,
      running: this.#running,
      defaultDeadlineMs: options.defaultDeadlineMs ?? 60_000,
    };
    const observer = together(options.observers ?? [], options.logger);
    const surroundings = { access: this.#access, open: this.#open, observer, encoded: this.#encoded };
    this.#server = new Server({
      interceptors: [(method, call) => new HostedCall(call, method, surroundings)],
      'grpc.max_receive_message_length': options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES,
      'grpc.max_concurrent_streams': options.maxStreamsPerConnection ?? 1000,
      'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      'grpc.enable_channelz': 0,
    });
  }

  /** Serves a service, and calls it healthy until setServing says otherwise. Before listen(). */
  add<S extends ServiceDefinition>(service: S, handlers: Handlers<S>, access: Access<S>): void {
    const implementation: Record<string, UntypedHandleCall> = {};
    for (const name of Object.keys(service) as (keyof S & string)[]) {
      const method = service[name];
      const handler = handlers[name];
      if (!method || typeof handler !== 'function') throw new Error(`${method?.path ?? name} has no handler`);
      // What the types say of a handler, the definition of its method says too.
      implementation[name] = adapt(method, handler.bind(handlers), this.#adapter);
    }
    this.#addToServer(encodingOf(service, this.#logger, this.#encoded), implementation, access);
    const name = Object.values(service)[0]?.path.split('/')[1];
    if (name === undefined) throw new Error('a service without methods');
    this.#services.push(name);
    this.#health.setStatus(name, 'SERVING');
  }

  /** Answers health checks: '' is the server as a whole, any other name one of its services. */
  setServing(serviceName: string, serving: boolean): void {
    if (!this.#open.closing) this.#health.setStatus(serviceName, serving ? 'SERVING' : 'NOT_SERVING');
  }

  /** Listens on "host:port"; port 0 is any free one. */
  async listen(address: string): Promise<{ port: number }> {
    const everybody = {
      addService: (service: ServiceDefinition, implementation: Record<string, UntypedHandleCall>) =>
        this.#addToServer(service, implementation, { default: ROLES }),
    };
    this.#health.addToServer(everybody);
    const reflection = this.#descriptors
      ? reflectionOf(this.#descriptors, this.#services)
      : generatedReflection(this.#services);
    if (reflection) reflection.addToServer(everybody);
    else this.#logger.debug('no descriptors, so no reflection');
    const { caPem, certPem, keyPem } = this.#identity;
    const pair = { cert_chain: Buffer.from(certPem), private_key: Buffer.from(keyPem) };
    const credentials = ServerCredentials.createSsl(Buffer.from(caPem), [pair], true);
    this.#listener = new Listener(
      this.#server.createConnectionInjector(credentials),
      this.#maxConnections,
      this.#logger,
    );
    const port = await this.#listener.listen(address);
    this.setServing('', true);
    return { port };
  }

  /**
   * Takes no more calls. Streams end at once with UNAVAILABLE and SHUTTING_DOWN, so that clients come back;
   * other calls have `graceMs` to finish. When it resolves, nothing is open any more.
   */
  close(graceMs = 5000): Promise<void> {
    this.#closed ??= this.#close(graceMs);
    return this.#closed;
  }

  async #close(graceMs: number): Promise<void> {
    for (const name of ['', ...this.#services]) this.#health.setStatus(name, 'NOT_SERVING');
    this.#listener?.stop();
    const connectionsClosed = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    this.#open.close();
    const allDone = Promise.all([connectionsClosed, this.#running.idle()]).then(() => undefined);
    if (!(await within(graceMs, allDone))) {
      this.#open.endAll();
      if (!(await within(FLUSH_MS, allDone)) && this.#running.methods.length > 0) {
        this.#logger.error({ methods: this.#running.methods }, 'handlers do not heed their signal');
      }
    }
    this.#server.forceShutdown();
    this.#listener?.destroy();
  }

  #addToServer<S extends ServiceDefinition>(
    service: S,
    implementation: Record<string, UntypedHandleCall>,
    access: Access<S>,
  ): void {
    this.#access.allow(service, access);
    this.#server.addService(service, implementation);
  }
}

function adapt(method: AnyMethod, handler: unknown, options: AdapterOptions): UntypedHandleCall {
  if (method.requestStream) {
    return method.responseStream
      ? adaptBidi(handler as Bidi<unknown, unknown>, options)
      : adaptClientStream(handler as ClientStream<unknown, unknown>, options);
  }
  return method.responseStream
    ? adaptServerStream(handler as ServerStream<unknown, unknown>, options)
    : adaptUnary(handler as Unary<unknown, unknown>, options);
}

/**
 * The service with its encoders watched: how large a response is, and whether there is one at all. One that can't be encoded is a bug,
 * which grpc-js tells the client of, but nobody else.
 */
function encodingOf<S extends ServiceDefinition>(service: S, logger: Logger, size: EncodedSize): S {
  const watched = (method: AnyMethod): AnyMethod => ({
    ...method,
    responseSerialize: (response) => {
      try {
        const encoded = method.responseSerialize(response);
        size.bytes = FRAME_BYTES + encoded.length;
        return encoded;
      } catch (error) {
        logger.error({ err: error, method: method.path }, 'response can not be encoded');
        throw error;
      }
    },
  });
  return Object.fromEntries(Object.entries(service).map(([name, method]) => [name, watched(method)])) as S;
}

/** Whether a promise settled in time. */
async function within(ms: number, done: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([done.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
