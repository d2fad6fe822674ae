import {
  type handleUnaryCall,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type StatusObject,
  status,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import { BadRequest, ErrorInfo, RetryInfo } from '@rivera/gen/google/rpc/error_details';
import { Status } from '@rivera/gen/google/rpc/status';
import { AccessServiceService } from '@rivera/gen/rivera/access/v1/access_service';
import { AuctionServiceService } from '@rivera/gen/rivera/auction/v1/auction_service';
import { ActualLrpServiceService } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { CellServiceService } from '@rivera/gen/rivera/bbs/v1/cell_service';
import { DesiredLrpServiceService } from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { DomainServiceService } from '@rivera/gen/rivera/bbs/v1/domain_service';
import { EventServiceService } from '@rivera/gen/rivera/bbs/v1/event_service';
import { TaskServiceService } from '@rivera/gen/rivera/bbs/v1/task_service';
import { LocketServiceService } from '@rivera/gen/rivera/locket/v1/locket_service';
import { SshServiceService } from '@rivera/gen/rivera/ssh/v1/ssh_service';
import type { TlsFiles } from '../options.js';
import { duration } from '../recipes.js';
import { readIdentity } from './certificates.js';

const SERVICES = [
  ...[TaskServiceService, DesiredLrpServiceService, ActualLrpServiceService, DomainServiceService, CellServiceService],
  ...[EventServiceService, AccessServiceService, AuctionServiceService, LocketServiceService, SshServiceService],
];

type AnyCall = {
  emit(event: 'error', error: unknown): boolean;
};

/** A real gRPC server over TLS that does what the test scripts; a method without a script is UNIMPLEMENTED. */
export class FakeServer {
  readonly #tls: TlsFiles;
  readonly #scripts = new Map<string, (call: unknown, callback: unknown) => void>();
  #server: Server | undefined;
  #port = 0;

  private constructor(tls: TlsFiles) {
    this.#tls = tls;
  }

  static async start(tls: TlsFiles): Promise<FakeServer> {
    const fake = new FakeServer(tls);
    await fake.start();
    return fake;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Starts, after a stop at the same port as before. */
  async start(): Promise<void> {
    const { ca, cert, key } = await readIdentity(this.#tls);
    const server = new Server();
    for (const service of SERVICES) {
      const handlers = Object.entries(service).map(([name, { path }]) => [name, this.#dispatcher(path)] as const);
      server.addService(service, Object.fromEntries(handlers));
    }
    const credentials = ServerCredentials.createSsl(ca, [{ cert_chain: cert, private_key: key }], true);
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.#port}`, credentials, (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
    this.#server = server;
  }

  /** Stops as a killed process would: connections break. */
  stop(): void {
    this.#server?.forceShutdown();
    this.#server = undefined;
  }

  #dispatcher(path: string): UntypedHandleCall {
    return (call: unknown, callback: unknown) => {
      const script = this.#scripts.get(path);
      if (script) script(call, callback);
      else refuse(call, callback, statusOf(status.UNIMPLEMENTED, `no script for ${path}`));
    };
  }

  /** Scripts a method with one answer; what it throws becomes the status. `attempt` counts the method's calls from 1. */
  unary<Q, R>(m: MethodDefinition<Q, R>, answer: (request: Q, attempt: number) => R | Promise<R>): { calls: Q[] } {
    const calls: Q[] = [];
    this.#scripts.set(m.path, (call, callback) => {
      const { request } = call as ServerUnaryCall<Q, R>;
      const attempt = calls.push(request);
      const respond = callback as Parameters<handleUnaryCall<Q, R>>[1];
      Promise.resolve()
        .then(() => answer(request, attempt))
        .then(
          (value) => respond(null, value),
          (error: Partial<StatusObject>) => respond(error),
        );
    });
    return { calls };
  }

  /** Scripts a method that streams its answers. The call ends when the script does. */
  streaming<Q, R>(
    m: MethodDefinition<Q, R>,
    script: (call: ServerWritableStream<Q, R>, attempt: number) => void | Promise<void>,
  ): { calls: Q[] } {
    const calls: Q[] = [];
    this.#scripts.set(m.path, (untyped) => {
      const call = untyped as ServerWritableStream<Q, R>;
      const attempt = calls.push(call.request);
      Promise.resolve()
        .then(() => script(call, attempt))
        .then(
          () => call.end(),
          (error) => call.emit('error', error),
        );
    });
    return { calls };
  }

  /** Scripts a method that takes a stream and answers once. */
  collecting<Q, R>(
    m: MethodDefinition<Q, R>,
    script: (call: ServerReadableStream<Q, R>, attempt: number) => Promise<R>,
  ) {
    let attempts = 0;
    this.#scripts.set(m.path, (call, callback) => {
      const respond = callback as Parameters<handleUnaryCall<Q, R>>[1];
      script(call as ServerReadableStream<Q, R>, ++attempts).then(
        (value) => respond(null, value),
        (error: Partial<StatusObject>) => respond(error),
      );
    });
  }

  /** Scripts a method that streams both ways. The call ends when the script does. */
  duplex<Q, R>(m: MethodDefinition<Q, R>, script: (call: ServerDuplexStream<Q, R>, attempt: number) => Promise<void>) {
    let attempts = 0;
    this.#scripts.set(m.path, (untyped) => {
      const call = untyped as ServerDuplexStream<Q, R>;
      script(call, ++attempts).then(
        () => call.end(),
        (error) => call.emit('error', error),
      );
    });
  }
}

function refuse(call: unknown, callback: unknown, error: Partial<StatusObject>): void {
  if (typeof callback === 'function') callback(error);
  else (call as AnyCall).emit('error', error);
}

/** A status as Rivera's servers send it, with details when there are any. */
export function statusOf(
  code: status,
  message: string,
  details: {
    reason?: string;
    metadata?: Record<string, string>;
    retryDelayMs?: number;
    violations?: { field: string; description: string }[];
  } = {},
): Partial<StatusObject> {
  const { reason, metadata: facts = {}, retryDelayMs, violations } = details;
  const packed: { typeUrl: string; value: Buffer }[] = [];
  const add = (name: string, bytes: Uint8Array) =>
    packed.push({ typeUrl: `type.googleapis.com/google.rpc.${name}`, value: Buffer.from(bytes) });
  if (reason) add('ErrorInfo', ErrorInfo.encode({ reason, domain: 'rivera', metadata: facts }).finish());
  if (retryDelayMs !== undefined) add('RetryInfo', RetryInfo.encode({ retryDelay: duration(retryDelayMs) }).finish());
  if (violations) add('BadRequest', BadRequest.encode({ fieldViolations: violations }).finish());
  const metadata = new Metadata();
  if (packed.length > 0) {
    const bytes = Status.encode({ code, message, details: packed }).finish();
    metadata.set('grpc-status-details-bin', Buffer.from(bytes));
  }
  return { code, details: message, metadata };
}
